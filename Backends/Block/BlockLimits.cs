namespace Paravane.Backends.Block;

/// <summary>Limits that config space advertises and requests are held to.</summary>
internal static class BlockLimits
{
    /// <summary>Bytes of a sector, the unit of every sector field whatever the logical block is.</summary>
    public const uint SectorBytes = 512;

    /// <summary>Segments of one DISCARD or WRITE_ZEROES: 256 bytes of private copy a request.</summary>
    public const int MaxSegments = 16;

    /// <summary>Sectors of one DISCARD segment: 1 GiB, which file systems free in milliseconds.</summary>
    public const uint MaxDiscardSectors = 1 << 21;

    /// <summary>Sectors of one WRITE_ZEROES segment: 64 MiB, which bounds the time of a medium that can only be zeroed by writing.</summary>
    public const uint MaxWriteZeroesSectors = 1 << 17;

    /// <summary>Bytes of the answer to GET_ID.</summary>
    public const int SerialBytes = 20;

    /// <summary>
    /// Data pieces of one request that are advertised at most. The rule is «queue size − 2» (header and status), and the queue size is the
    /// front-end's choice after it read this: 128 is the smallest default of the front-ends in the field.
    /// </summary>
    public const int MaxSegMax = 126;
}
