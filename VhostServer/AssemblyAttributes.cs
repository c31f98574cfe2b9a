using System.Runtime.CompilerServices;

// Every native signature is blittable, as in VirtioQueues.
[assembly: DisableRuntimeMarshalling]
