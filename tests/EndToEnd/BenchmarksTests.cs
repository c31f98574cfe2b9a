using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>The program behind <c>make bench</c>: all of its measurements work, however short.</summary>
[Collection(BusyMachine.Name)]
public sealed class BenchmarksTests
{
    private static readonly string[] s_tables =
        ["net-testpmd", "net-bench", "null-iops", "null-latency", "file-iops", "idle-cpu", "start", "memory", "size", "run-start", "worker-restart", "exits", "run-memory", "boot"];

    /// <summary>What stands in place of the table that needs one.</summary>
    private const string WithoutKvm = "this host has no /dev/kvm";

    [Fact]
    public void A_short_run_fills_every_table()
    {
        using var directory = TemporaryDirectory.Create();
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Name;
        string program = Path.Combine(Programs.RepositoryRoot, "artifacts", "bin", "Benchmarks", configuration, "Paravane.Benchmarks.dll");

        var lifetime = TimeSpan.FromSeconds(300);
        (int exitCode, _, string transcript) = ChildProcess.Run("dotnet", [program, "--quick", "--output", directory.File("docs")], lifetime);

        Assert.True(exitCode == 0, transcript);
        string page = File.ReadAllText(directory.File("docs/benchmarks.md"));
        bool hasKvm = File.Exists("/dev/kvm");
        Assert.Equal(!hasKvm, page.Contains(WithoutKvm, StringComparison.Ordinal));
        foreach (string table in s_tables.Where(table => hasKvm || table != "run-start"))
        {
            Assert.Contains($"(benchmarks/{table}.svg)", page, StringComparison.Ordinal);
            Assert.Contains("</svg>", File.ReadAllText(directory.File($"docs/benchmarks/{table}.svg")), StringComparison.Ordinal);
        }
    }
}
