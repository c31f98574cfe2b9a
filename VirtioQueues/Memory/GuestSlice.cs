namespace Paravane.VirtioQueues.Memory;

/// <summary>A checked piece of guest memory. Cannot be stored, boxed or captured, so none outlives its queue turn.</summary>
public readonly unsafe ref struct GuestSlice
{
    /// <summary>First byte. For the libraries only.</summary>
    internal readonly byte* Host;

    internal GuestSlice(byte* host, uint lengthBytes)
    {
        Host = host;
        LengthBytes = lengthBytes;
    }

    /// <summary>Length in bytes.</summary>
    public uint LengthBytes { get; }

    /// <summary>The bytes, for payload copies and system calls; never for fields the other side writes concurrently.</summary>
    public Span<byte> AsSpan() => new(Host, checked((int)LengthBytes));
}
