namespace Paravane.EndToEnd;

/// <summary>Measures back-ends that have nothing to do.</summary>
internal static class Idle
{
    private static readonly TimeSpan s_settling = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_observed = TimeSpan.FromSeconds(5);

    /// <summary>Fails unless all back-ends together use less than one percent of a core, after a second in which traffic ends.</summary>
    public static void Check(Func<TimeSpan> cpuTime)
    {
        Thread.Sleep(s_settling);
        TimeSpan before = cpuTime();
        Thread.Sleep(s_observed);
        TimeSpan used = cpuTime() - before;
        TestContext.Current.TestOutputHelper?.WriteLine($"{used.TotalMilliseconds:F0} ms of CPU in {s_observed.TotalSeconds:F0} s");
        // Process times count in steps of 10 ms: one step more than a percent.
        Assert.InRange(used, TimeSpan.Zero, s_observed * 0.01 + TimeSpan.FromMilliseconds(10));
    }
}
