using System.Runtime.CompilerServices;

namespace Paravane.Backends.Net;

/// <summary>Frames that went nowhere, by reason, of one queue pair. Written by the pair's worker, read by any thread.</summary>
internal sealed class DropCounters
{
    // Longer than the reasons: two pairs' counters never share a cache line (nor the pair that prefetchers fetch together).
    private readonly long[] _counts = new long[32];

    /// <summary>Frames dropped for <paramref name="reason"/>.</summary>
    public long this[Drop reason] => Volatile.Read(ref _counts[(int)reason]);

    /// <summary>Frames dropped for any reason.</summary>
    public long Total
    {
        get
        {
            long total = 0;
            for (int i = 0; i < _counts.Length; i++)
            {
                total += Volatile.Read(ref _counts[i]);
            }

            return total;
        }
    }

    /// <summary>Counts one frame. Worker only.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Count(Drop reason) => Volatile.Write(ref _counts[(int)reason], _counts[(int)reason] + 1);
}
