namespace Paravane.VirtioQueues.Chains;

/// <summary>A set of 16-bit heads or buffer ids that are in flight. Worker thread only.</summary>
internal readonly struct InFlightMap(int values)
{
    private readonly ulong[] _words = new ulong[(values + 63) / 64];

    public bool Contains(ushort value) => (_words[value >> 6] & (1UL << (value & 63))) != 0;

    public void Add(ushort value) => _words[value >> 6] |= 1UL << (value & 63);

    public void Remove(ushort value) => _words[value >> 6] &= ~(1UL << (value & 63));
}
