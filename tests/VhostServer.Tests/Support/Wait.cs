using System.Diagnostics;

namespace Paravane.VhostServer.Tests.Support;

internal static class Wait
{
    /// <summary>Looks at <paramref name="condition"/> until it holds; a slow machine only makes it slower.</summary>
    public static void Until(Func<bool> condition, string what)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(clock.Elapsed < Frontend.Patience, $"waited too long until {what}");
            Thread.Sleep(1);
        }
    }
}
