using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Chains;

/// <summary>A private copy of one 16-byte descriptor of either format, read once. Checks and uses go to the copy only.</summary>
internal readonly unsafe struct DescriptorSnapshot
{
    private readonly ulong _low;
    private readonly ulong _high;

    private DescriptorSnapshot(ulong low, ulong high)
    {
        _low = low;
        _high = high;
    }

    /// <summary>Guest address.</summary>
    public ulong Addr => _low;

    /// <summary>Length in bytes.</summary>
    public uint Len => (uint)_high;

    /// <summary>Flags of a split descriptor.</summary>
    public VirtqDescFlags SplitFlags => (VirtqDescFlags)(ushort)(_high >> 32);

    /// <summary>A split descriptor that is not the whole chain: it goes on elsewhere.</summary>
    public bool IsSplitList => ((uint)(_high >> 32) & (uint)(VirtqDescFlags.Next | VirtqDescFlags.Indirect)) != 0;

    /// <summary>Next index of a split descriptor.</summary>
    public ushort SplitNext => (ushort)(_high >> 48);

    /// <summary>Buffer id of a packed descriptor.</summary>
    public ushort PackedId => (ushort)(_high >> 32);

    /// <summary>Flags of a packed descriptor.</summary>
    public VirtqDescFlags PackedFlags => (VirtqDescFlags)(ushort)(_high >> 48);

    /// <summary>Reads a descriptor, 8-byte aligned: its halves one after the other, each whole.</summary>
    /// <remarks>
    /// Acquire by the upper half, which holds the flags that make a packed descriptor available: the address is read after them. One load of 16 bytes would do on
    /// processors with AVX, which do not tear it; emulated ones (QEMU's TCG) do, the lower half first, and then an old address comes with new flags.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static DescriptorSnapshot Load(void* descriptor)
    {
        ulong high = Volatile.Read(ref ((ulong*)descriptor)[1]);
        return new DescriptorSnapshot(Volatile.Read(ref ((ulong*)descriptor)[0]), high);
    }
}
