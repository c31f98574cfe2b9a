namespace Paravane.Hypervisor.Memory;

/// <summary>One range of the machine's RAM as the hypervisor maps it: where the guest sees it and where this process does.</summary>
/// <param name="guest">First guest physical address, a multiple of 2 MiB.</param>
/// <param name="host">First byte here, a multiple of 2 MiB; good while the machine's memory is not disposed.</param>
/// <param name="sizeBytes">Size in bytes, a multiple of 2 MiB.</param>
internal sealed unsafe class MemoryBank(ulong guest, byte* host, ulong sizeBytes)
{
    /// <summary>First guest physical address.</summary>
    public ulong Guest { get; } = guest;

    /// <summary>First byte in this process.</summary>
    public byte* Host { get; } = host;

    /// <summary>Size in bytes.</summary>
    public ulong SizeBytes { get; } = sizeBytes;
}
