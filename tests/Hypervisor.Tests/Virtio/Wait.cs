using System.Diagnostics;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>Waits that end, one way or the other.</summary>
internal static class Wait
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    /// <returns>Whether it came true within <paramref name="limit"/>.</returns>
    public static bool For(Func<bool> condition, TimeSpan limit)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(start) >= limit)
            {
                return false;
            }

            Thread.Sleep(1);
        }

        return true;
    }

    public static void Until(Func<bool> condition) => Assert.True(For(condition, Limit), "it did not come true");
}
