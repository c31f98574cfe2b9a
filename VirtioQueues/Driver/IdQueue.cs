using System.Numerics;
using System.Runtime.CompilerServices;

namespace Paravane.VirtioQueues.Driver;

/// <summary>A first-in-first-out queue of 16-bit numbers with room for all of a ring. First in, first out makes chains come round in ring order.</summary>
internal unsafe struct IdQueue
{
    // Pinned, and held here so that the pointer stays good.
    private readonly ushort[] _store;
    private readonly ushort* _items;
    private readonly uint _mask;
    private uint _first;

    public IdQueue(int capacity)
    {
        int slots = (int)BitOperations.RoundUpToPowerOf2((uint)capacity);
        _store = GC.AllocateArray<ushort>(slots, pinned: true);
        _items = (ushort*)Unsafe.AsPointer(ref _store[0]);
        _mask = (uint)slots - 1;
    }

    /// <summary>Numbers in the queue.</summary>
    public int Count { get; private set; }

    /// <summary>The number <paramref name="index"/> places behind the oldest; <paramref name="index"/> is below <see cref="Count"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly ushort Peek(int index) => _items[unchecked(_first + (uint)index) & _mask];

    /// <summary>Appends a number; the caller knows that there is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push(ushort id)
    {
        _items[unchecked(_first + (uint)Count) & _mask] = id;
        Count++;
    }

    /// <summary>Removes the oldest number; the caller knows that there is one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ushort Pop()
    {
        Count--;
        return _items[unchecked(_first++) & _mask];
    }
}
