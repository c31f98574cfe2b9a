using System.Runtime.InteropServices;

namespace Paravane.Backends.Block.Spec;

/// <summary>First bytes of the readable part of every request, <c>struct virtio_blk_req</c> (virtio 1.2 §5.2.6). 16 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal readonly struct BlkRequestHeader(BlkRequestType type, ulong sector)
{
    /// <summary>Length in bytes.</summary>
    public const int SizeBytes = 16;

    private const uint BarrierBit = 1u << 31;

    private readonly uint _type = (uint)type;

    /// <summary>Once an I/O priority; ignored.</summary>
    public readonly uint Reserved;

    /// <summary>First sector of 512 bytes, whatever the block size.</summary>
    public readonly ulong Sector = sector;

    /// <summary>What to do, without the barrier bit of drivers before 2010.</summary>
    public BlkRequestType Type => (BlkRequestType)(_type & ~BarrierBit);
}
