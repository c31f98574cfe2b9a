using System.Diagnostics;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>Waits that end, one way or the other.</summary>
internal static class Wait
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    public static void Until(Func<bool> condition)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Limit, "it did not come true");
            Thread.Sleep(1);
        }
    }
}
