using System.Diagnostics;
using CsCheck;
using Paravane.Hypervisor.Bench;

namespace Paravane.Hypervisor.Tests.Bench;

public sealed class LatencyHistogramTests
{
    private static readonly double[] s_quantiles = [0.01, 0.5, 0.9, 0.99, 0.999, 1];

    [Fact]
    public void A_quantile_is_known_to_three_per_cent() => Gen.Long[0, 1L << 40].Array[1, 200].Sample(values =>
    {
        var histogram = new LatencyHistogram();
        foreach (long value in values)
        {
            histogram.Record(value);
        }

        long[] sorted = [.. values.Order()];
        foreach (double quantile in s_quantiles)
        {
            double exact = sorted[Math.Max(1, (int)Math.Ceiling(quantile * sorted.Length)) - 1] * 1e6 / Stopwatch.Frequency;
            double shown = histogram.Microseconds(quantile);
            Assert.InRange(shown, exact * (1 - (1.0 / 32)), (exact * (1 + (1.0 / 32))) + 1e-9);
        }
    });

    [Fact]
    public void Small_values_are_exact()
    {
        for (int value = 0; value < 64; value++)
        {
            var histogram = new LatencyHistogram();
            histogram.Record(value);
            Assert.Equal(value * 1e6 / Stopwatch.Frequency, histogram.Microseconds(0.5), 9);
        }
    }

    [Fact]
    public void Nonsense_is_kept_inside()
    {
        var histogram = new LatencyHistogram();
        histogram.Record(-5);
        histogram.Record(long.MaxValue);
        Assert.Equal(2, histogram.Count);
        Assert.Equal(0, histogram.Microseconds(0.5));
        Assert.True(histogram.Microseconds(1) > 0);
    }

    [Fact]
    public void An_empty_histogram_says_zero() => Assert.Equal(0, new LatencyHistogram().Microseconds(0.99));

    [Fact]
    public void What_came_after_a_snapshot_is_the_difference()
    {
        var histogram = new LatencyHistogram();
        var before = new LatencyHistogram();
        var after = new LatencyHistogram();
        histogram.Record(1000, weight: 10);
        histogram.CopyTo(before);
        histogram.Record(50);
        histogram.CopyTo(after);
        after.Subtract(before);
        Assert.Equal(1, after.Count);
        Assert.Equal(50 * 1e6 / Stopwatch.Frequency, after.Microseconds(1), 1e-2);
    }

    [Fact]
    public void Recording_allocates_nothing()
    {
        var histogram = new LatencyHistogram();
        histogram.Record(1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10_000; i++)
        {
            histogram.Record(i * 37);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
