using System.Runtime.InteropServices;

namespace Paravane.Backends.Block.Spec;

/// <summary>Config space, <c>struct virtio_blk_config</c> (virtio 1.2 §5.2.4) as far as the offered features reach. 60 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = 60)]
internal struct BlkConfig
{
    /// <summary>Length in bytes: up to <see cref="WriteZeroesMayUnmap"/> and its padding.</summary>
    public const int SizeBytes = 60;

    /// <summary>Offset of <see cref="Writeback"/>, the one byte that a driver may write.</summary>
    public const int WritebackOffset = 32;

    /// <summary>Capacity in sectors of 512 bytes.</summary>
    public ulong Capacity;

    /// <summary>Largest piece in bytes; SIZE_MAX is not offered.</summary>
    public uint SizeMax;

    /// <summary>Most data pieces of one request.</summary>
    public uint SegMax;

    /// <summary>Cylinders; GEOMETRY is not offered.</summary>
    public ushort Cylinders;

    /// <summary>Heads.</summary>
    public byte Heads;

    /// <summary>Sectors of a track.</summary>
    public byte Sectors;

    /// <summary>Logical block in bytes.</summary>
    public uint BlkSize;

    /// <summary>Logical blocks of a physical block, as power of two.</summary>
    public byte PhysicalBlockExponent;

    /// <summary>First aligned logical block.</summary>
    public byte AlignmentOffset;

    /// <summary>Smallest efficient transfer in logical blocks.</summary>
    public ushort MinIoSize;

    /// <summary>Best transfer in logical blocks; 0: no advice. Never 1: Windows would split everything into single blocks.</summary>
    public uint OptIoSize;

    /// <summary>1: volatile cache, FLUSH makes durable; 0: each write is durable when it completes.</summary>
    public byte Writeback;

    /// <summary>Zero.</summary>
    public byte Unused0;

    /// <summary>Number of request queues.</summary>
    public ushort NumQueues;

    /// <summary>Most sectors of 512 bytes in one DISCARD segment.</summary>
    public uint MaxDiscardSectors;

    /// <summary>Most segments of one DISCARD.</summary>
    public uint MaxDiscardSeg;

    /// <summary>Sectors of 512 bytes that a DISCARD should be aligned to.</summary>
    public uint DiscardSectorAlignment;

    /// <summary>Most sectors of 512 bytes in one WRITE_ZEROES segment.</summary>
    public uint MaxWriteZeroesSectors;

    /// <summary>Most segments of one WRITE_ZEROES.</summary>
    public uint MaxWriteZeroesSeg;

    /// <summary>1: the unmap flag may give storage back.</summary>
    public byte WriteZeroesMayUnmap;
}
