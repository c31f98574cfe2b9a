using System.Runtime.InteropServices;

namespace Paravane.Backends.Block.Spec;

/// <summary>One range of a DISCARD or WRITE_ZEROES, <c>struct virtio_blk_discard_write_zeroes</c> (virtio 1.2 §5.2.6). 16 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal readonly struct BlkSegment(ulong sector, uint sectors, uint flags)
{
    /// <summary>Length in bytes.</summary>
    public const int SizeBytes = 16;

    /// <summary>Bit 0 of <see cref="Flags"/>: storage may be given back.</summary>
    public const uint UnmapFlag = 1;

    /// <summary>First sector of 512 bytes.</summary>
    public readonly ulong Sector = sector;

    /// <summary>Number of sectors of 512 bytes.</summary>
    public readonly uint Sectors = sectors;

    /// <summary><see cref="UnmapFlag"/>; other bits are reserved.</summary>
    public readonly uint Flags = flags;

    /// <summary>WRITE_ZEROES may give the storage back.</summary>
    public bool MayUnmap => (Flags & UnmapFlag) != 0;
}
