using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Chains;

/// <summary>The chains of a queue's window as they stand now, for a walk over a burst: where they lie is looked up once and not for each chain.</summary>
/// <remarks>Worker thread only. Good until the queue's window changes: a fill, a consumption or a return.</remarks>
public readonly unsafe ref struct ChainWindow
{
    private readonly ChainSlot* _slots;
    private readonly ushort* _first;

    internal ChainWindow(ChainSlot* slots, ushort* first, int count)
    {
        _slots = slots;
        _first = first;
        Count = count;
    }

    /// <summary>Number of chains.</summary>
    public int Count { get; }

    /// <summary>Chain <paramref name="index"/>, counted from the oldest.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such chain.</exception>
    public Chain this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(SlotOf(index), new ChainToken(_first[index]));
    }

    /// <summary>What the device may read of chain <paramref name="index"/>, where that is one piece of memory and all of the chain; empty where it is not.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such chain.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public GuestSlice OnlyReadable(int index)
    {
        ChainSlot* slot = SlotOf(index);
        return new GuestSlice(slot->Buffers->Host, slot->Counts == ChainSlot.OneReadable ? slot->ReadableBytes : 0);
    }

    /// <summary>What the device may write of chain <paramref name="index"/>, where that is one piece of memory and all of the chain; empty where it is not.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such chain.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public GuestSlice OnlyWritable(int index)
    {
        ChainSlot* slot = SlotOf(index);
        return new GuestSlice(slot->Buffers->Host, slot->Counts == ChainSlot.OneWritable ? slot->WritableBytes : 0);
    }

    [DoesNotReturn]
    private static void ThrowIndex(int index) => throw new ArgumentOutOfRangeException(nameof(index), index, "not in the window");

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ChainSlot* SlotOf(int index)
    {
        if ((uint)index >= (uint)Count)
        {
            ThrowIndex(index);
        }

        return _slots + _first[index];
    }
}
