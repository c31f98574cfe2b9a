namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>One descriptor of each chain of a queue.</summary>
/// <param name="Start">Guest address of slot 0's buffer.</param>
/// <param name="Shift">Distance of two slots' buffers as a power of two.</param>
/// <param name="LengthBytes">Length.</param>
/// <param name="Direction">Who writes it.</param>
internal readonly record struct ChainPart(ulong Start, int Shift, int LengthBytes, ChainDirection Direction);
