using System.Runtime.CompilerServices;

// Every native signature is blittable: pointers, integers and structs of those. No marshalling stub is ever generated.
[assembly: DisableRuntimeMarshalling]
