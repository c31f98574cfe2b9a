namespace Paravane.Backends.Block.Stores;

/// <summary>State of one request between its operations, in an array indexed by slot. Not more than a cache line (64 bytes).</summary>
internal struct FileRequest
{
    /// <summary>Where the transfer begins on the medium, in bytes.</summary>
    public ulong Position;

    /// <summary>Bytes of the whole transfer.</summary>
    public uint LengthBytes;

    /// <summary>Bytes transferred, from the beginning on without gaps; of the current segment while zeroing.</summary>
    public uint DoneBytes;

    /// <summary>Bytes of the operation under way, where that gives back or zeroes a range.</summary>
    public uint SliceBytes;

    /// <summary>Where the data begins in its buffer list.</summary>
    public uint BufferOffset;

    /// <summary>What the driver asked for.</summary>
    public FileVerb Verb;

    /// <summary>The operation under way.</summary>
    public FileStep Step;

    /// <summary>Segment under way.</summary>
    public byte Segment;

    /// <summary>Segments of the request.</summary>
    public byte SegmentCount;

    /// <summary>Bounce buffer held, or −1.</summary>
    public sbyte Bounce;

    /// <summary>On stable storage before it completes.</summary>
    public bool Durable;

    /// <summary>The attempt that must not wait was made.</summary>
    public bool Tried;
}
