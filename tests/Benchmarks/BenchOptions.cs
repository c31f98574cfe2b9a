using System.Globalization;

namespace Paravane.Benchmarks;

/// <summary>Options of <c>paravane bench</c> that all measurements share.</summary>
internal static class BenchOptions
{
    /// <summary>Run time and warm-up.</summary>
    public static string[] Of(Settings settings) =>
    [
        string.Create(CultureInfo.InvariantCulture, $"--runtime={settings.Seconds * 1000:0}ms"),
        string.Create(CultureInfo.InvariantCulture, $"--warmup={Math.Min(1000, settings.Seconds * 500):0}ms"),
    ];
}
