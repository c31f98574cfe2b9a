using System.Text.Json;

namespace Paravane.Peers;

/// <summary><c>paravane bench</c>, our own front-end, against any vhost-user socket.</summary>
public static class BenchCommand
{
    /// <summary>Starts a bench.</summary>
    public static ChildProcess Start(string device, string socketPath, IEnumerable<string> options, TimeSpan lifetime, int? cpu = null) =>
        ChildProcess.Start(Programs.Paravane, ["bench", device, $"--socket-path={socketPath}", "--json", .. options], lifetime, cpu);

    /// <summary>Waits for the end of a bench and reads its figures.</summary>
    public static BenchResult Finish(ChildProcess bench, TimeSpan patience)
    {
        int exitCode = bench.WaitForExit(patience);
        try
        {
            // Whatever was lost or wrong is for the caller to judge, who has the figures.
            return BenchResult.Parse(bench.Output);
        }
        catch (Exception failure) when (failure is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new PeerException($"bench ended with exit code {exitCode} and without figures:\n{bench.Transcript}");
        }
    }

    /// <summary>Runs a bench to its end.</summary>
    public static BenchResult Run(string device, string socketPath, IEnumerable<string> options, TimeSpan lifetime, int? cpu = null)
    {
        using ChildProcess bench = Start(device, socketPath, options, lifetime, cpu);
        return Finish(bench, lifetime);
    }
}
