using System.Numerics;
using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Bench;

/// <summary>What a sector must contain: eight-byte words that are a function of seed, sector number, generation and place.</summary>
/// <remarks>A sector that ended up elsewhere, is older than it should be, or was cut, differs in every word.</remarks>
internal static class BlockPattern
{
    private const int SectorBytes = 512;
    private const ulong Golden = 0x9e37_79b9_7f4a_7c15;

    /// <summary>Fills whole sectors from number <paramref name="sector"/> on.</summary>
    public static void Fill(Span<byte> data, ulong seed, ulong sector, uint generation)
    {
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(data);
        const int Words = SectorBytes / sizeof(ulong);
        while (!words.IsEmpty)
        {
            ulong word = First(seed, sector++, generation);
            Span<ulong> one = words[..Words];
            for (int i = 0; i < one.Length; i++)
            {
                one[i] = word;
                word += Golden;
            }

            words = words[Words..];
        }
    }

    /// <summary>Looks for the first byte that differs from what <see cref="Fill"/> makes.</summary>
    /// <returns>Its offset in bytes, or −1 when all are right.</returns>
    public static int FindMismatch(ReadOnlySpan<byte> data, ulong seed, ulong sector, uint generation)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(data);
        const int Words = SectorBytes / sizeof(ulong);
        for (int start = 0; start < words.Length; start += Words)
        {
            ulong word = First(seed, sector++, generation);
            ReadOnlySpan<ulong> one = words.Slice(start, Words);
            for (int i = 0; i < one.Length; i++)
            {
                if (one[i] != word)
                {
                    return ((start + i) * sizeof(ulong)) + (BitOperations.TrailingZeroCount(one[i] ^ word) / 8);
                }

                word += Golden;
            }
        }

        return -1;
    }

    /// <summary>Word 0 of a sector; well mixed (splitmix64), so that neighbouring sectors share nothing.</summary>
    private static ulong First(ulong seed, ulong sector, uint generation)
    {
        ulong x = seed ^ (sector * Golden) ^ ((ulong)generation << 48) ^ generation;
        x = (x ^ (x >> 30)) * 0xbf58_476d_1ce4_e5b9;
        x = (x ^ (x >> 27)) * 0x94d0_49bb_1331_11eb;
        return x ^ (x >> 31);
    }
}
