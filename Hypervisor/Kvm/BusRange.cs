namespace Paravane.Hypervisor.Kvm;

/// <summary>One device's range on an <see cref="AddressBus"/>, with the count of what the guest asked of it.</summary>
/// <remarks>Any thread.</remarks>
internal sealed class BusRange(ulong address, ulong sizeBytes, IBusDevice device, string name)
{
    private long _reads;
    private long _writes;

    /// <summary>First address or port.</summary>
    public ulong Address { get; } = address;

    /// <summary>Size in bytes, not 0; the range does not wrap.</summary>
    public ulong SizeBytes { get; } = sizeBytes;

    /// <summary>Who answers.</summary>
    public IBusDevice Device { get; } = device;

    /// <summary>For counters: a short name of the device, not unique.</summary>
    public string Name { get; } = name;

    /// <summary>Reads until now.</summary>
    public long Reads => Interlocked.Read(ref _reads);

    /// <summary>Writes until now.</summary>
    public long Writes => Interlocked.Read(ref _writes);

    /// <summary>Counts and answers a read that lies inside.</summary>
    internal void Read(ulong address, Span<byte> data)
    {
        Interlocked.Increment(ref _reads);
        Device.Read(address - Address, data);
    }

    /// <summary>Counts and hands on a write that lies inside.</summary>
    internal void Write(ulong address, ReadOnlySpan<byte> data)
    {
        Interlocked.Increment(ref _writes);
        Device.Write(address - Address, data);
    }
}
