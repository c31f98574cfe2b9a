using System.Runtime.CompilerServices;

namespace Paravane.VirtioQueues.Chains;

/// <summary>A set of 16-bit heads or buffer ids that are in flight. Worker thread only.</summary>
/// <remarks>
/// Callers keep every value below the number that the set was made for: heads are checked against the queue size before, ids have 16 bits. Values leave at
/// completion, since to keep them until the publication would take a second pass over the chains: in between the rings' count of descriptors bounds what a
/// driver gets that does not wait.
/// </remarks>
internal readonly unsafe struct InFlightMap
{
    private readonly ulong* _words;
    private readonly ulong[] _store; // pinned; held so that the pointer stays good

    /// <summary>Makes an empty set.</summary>
    /// <param name="values">Values are 0…<paramref name="values"/> − 1.</param>
    public InFlightMap(int values)
    {
        _store = GC.AllocateArray<ulong>((values + 63) / 64, pinned: true);
        _words = (ulong*)Unsafe.AsPointer(ref _store[0]);
    }

    /// <summary>Whether a value is in the set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Contains(uint value) => ((_words[value >> 6] >> (int)(value & 63)) & 1) != 0;

    /// <summary>Adds a value.</summary>
    /// <returns>False when it was there already.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryAdd(uint value)
    {
        ulong* word = _words + (value >> 6);
        ulong before = *word, bit = 1UL << (int)(value & 63);
        *word = before | bit;
        return (before & bit) == 0;
    }

    /// <summary>Takes a value out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Remove(uint value) => _words[value >> 6] &= ~(1UL << (int)(value & 63));
}
