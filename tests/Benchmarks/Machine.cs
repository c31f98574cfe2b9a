using System.Globalization;
using Paravane.Peers;

namespace Paravane.Benchmarks;

/// <summary>Where and with what was measured.</summary>
internal sealed record Machine(string Date, string Processor, int Processors, string Kernel, string Revision, string TestpmdVersion, string StorageDaemonVersion)
{
    /// <summary>Asks this machine.</summary>
    public static Machine Describe() => new(
        DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
        ModelName(),
        Environment.ProcessorCount,
        File.ReadAllText("/proc/sys/kernel/osrelease").Trim().Split('-')[0],
        FirstLine("git", "-C", Programs.RepositoryRoot, "rev-parse", "--short", "HEAD"),
        FirstLine("dpkg-query", "--show", "--showformat=${Version}", "dpdk-dev"),
        FirstLine("dpkg-query", "--show", "--showformat=${Version}", "qemu-system-common"));

    private static string ModelName() =>
        File.ReadLines("/proc/cpuinfo").First(line => line.StartsWith("model name", StringComparison.Ordinal)).Split(':')[1].Trim();

    private static string FirstLine(string program, params string[] arguments)
    {
        (int exitCode, string output, _) = ChildProcess.Run(program, arguments, TimeSpan.FromSeconds(10));
        return exitCode == 0 ? output.Split('\n')[0].Trim() : "unknown";
    }
}
