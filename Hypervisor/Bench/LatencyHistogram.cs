using System.Diagnostics;
using System.Numerics;

namespace Paravane.Hypervisor.Bench;

/// <summary>Counts latencies in log-linear buckets: 32 for each doubling, so that a value is known to about 3 %. Never allocates after it is made.</summary>
/// <remarks>One thread records; any thread may take a <see cref="CopyTo"/> snapshot, which may miss the newest entries but is never torn.</remarks>
public sealed class LatencyHistogram
{
    /// <summary>Buckets for each doubling, as a power of two.</summary>
    internal const int LinearBits = 5;

    /// <summary>Doublings covered above the linear start; the last bucket takes all that is longer.</summary>
    private const int Doublings = 44 - LinearBits;

    /// <summary>Buckets.</summary>
    internal const int BucketCount = (Doublings + 1) << LinearBits;

    private readonly long[] _buckets = new long[BucketCount];

    /// <summary>Number of values recorded.</summary>
    public long Count
    {
        get
        {
            long count = 0;
            foreach (long bucket in _buckets)
            {
                count += bucket;
            }

            return count;
        }
    }

    /// <summary>Records one value. Negative values (clocks of two cores may differ by a hair) count as 0.</summary>
    /// <param name="ticks"><see cref="Stopwatch"/> ticks.</param>
    /// <param name="weight">How many values it stands for.</param>
    public void Record(long ticks, long weight = 1) => _buckets[BucketOf(ticks)] += weight;

    /// <summary>Makes <paramref name="snapshot"/> equal to this.</summary>
    public void CopyTo(LatencyHistogram snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        for (int i = 0; i < BucketCount; i++)
        {
            snapshot._buckets[i] = Volatile.Read(ref _buckets[i]);
        }
    }

    /// <summary>Adds the counts of <paramref name="other"/>.</summary>
    public void Add(LatencyHistogram other)
    {
        ArgumentNullException.ThrowIfNull(other);
        for (int i = 0; i < BucketCount; i++)
        {
            _buckets[i] += Volatile.Read(ref other._buckets[i]);
        }
    }

    /// <summary>Makes this equal to buckets that somebody else counts with the same rule.</summary>
    internal void Set(ReadOnlySpan<long> buckets) => buckets.CopyTo(_buckets);

    /// <summary>Takes away the counts of an <paramref name="earlier"/> snapshot, which leaves what came after it.</summary>
    public void Subtract(LatencyHistogram earlier)
    {
        ArgumentNullException.ThrowIfNull(earlier);
        for (int i = 0; i < BucketCount; i++)
        {
            _buckets[i] -= earlier._buckets[i];
        }
    }

    /// <summary>Forgets everything.</summary>
    public void Clear() => Array.Clear(_buckets);

    /// <summary>The latency that a share of <paramref name="quantile"/> of the values did not exceed, in microseconds: middle of its bucket. 0 when empty.</summary>
    public double Microseconds(double quantile)
    {
        long wanted = Math.Max(1, (long)Math.Ceiling(quantile * Count));
        for (int i = 0; i < BucketCount; i++)
        {
            wanted -= _buckets[i];
            if (wanted <= 0)
            {
                (long low, long width) = RangeOf(i);
                return (low + ((width - 1) / 2.0)) * 1e6 / Stopwatch.Frequency;
            }
        }

        return 0;
    }

    private static int BucketOf(long ticks)
    {
        if (ticks < 1 << LinearBits)
        {
            return (int)Math.Max(0, ticks);
        }

        int doubling = BitOperations.Log2((ulong)ticks) - LinearBits;
        int bucket = (doubling << LinearBits) + (int)(ticks >> doubling);
        return Math.Min(bucket, BucketCount - 1);
    }

    private static (long Low, long Width) RangeOf(int bucket)
    {
        if (bucket < 1 << (LinearBits + 1))
        {
            return (bucket, 1);
        }

        int doubling = (bucket >> LinearBits) - 1;
        return ((long)((bucket & ((1 << LinearBits) - 1)) | (1 << LinearBits)) << doubling, 1L << doubling);
    }
}
