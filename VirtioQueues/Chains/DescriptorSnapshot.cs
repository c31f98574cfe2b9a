using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
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

    /// <summary>Reads a descriptor, 16-byte aligned. One load where the CPU has AVX (such a load is not torn), else two that are each whole.</summary>
    /// <remarks>
    /// A packed descriptor must have been seen available before: an emulated processor (QEMU's TCG) does tear the load, the lower half first, and would bring
    /// the address of the slot's last use together with new flags.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static DescriptorSnapshot Load(void* descriptor)
    {
        if (Avx.IsSupported)
        {
            Vector128<ulong> both = Vector128.LoadAligned((ulong*)descriptor);
            return new DescriptorSnapshot(both.ToScalar(), both.GetElement(1));
        }

        // The upper half first: it holds the flags by which a packed descriptor was found available.
        ulong high = Volatile.Read(ref ((ulong*)descriptor)[1]);
        return new DescriptorSnapshot(Volatile.Read(ref ((ulong*)descriptor)[0]), high);
    }
}
