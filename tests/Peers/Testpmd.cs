using System.Globalization;

namespace Paravane.Peers;

/// <summary>dpdk-testpmd, driven through its command line: the front-end (virtio-user) or the peer (vhost) of a network back-end.</summary>
public sealed class Testpmd : IDisposable
{
    private const string Prompt = "testpmd> ";
    private const int MemoryMebibytes = 48;
    private const int PacketBuffers = 8192;                             // fills a ring of 1024 in each direction with room for bursts
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);
    private static readonly string s_endOfStatistics = new('#', 76);

    private readonly ChildProcess _process;

    /// <summary>The drivers, which the program loads by itself, that its vhost port needs.</summary>
    public static IReadOnlyList<string> Drivers =>
    [
        .. Directory.EnumerateDirectories("/usr/lib/x86_64-linux-gnu/dpdk", "pmds-*")
            .SelectMany(directory => ((string[])["librte_net_vhost", "librte_mempool_ring"]).SelectMany(name => Directory.EnumerateFiles(directory, $"{name}.so.*.*"))),
    ];

    private Testpmd(ChildProcess process) => _process = process;

    /// <summary>The running program.</summary>
    public ChildProcess Process => _process;

    /// <summary>Starts testpmd and waits for its prompt: its ports are set up then, but nothing is forwarded yet.</summary>
    public static Testpmd Start(TestpmdOptions options)
    {
        // Twice what it takes: two programs that look at the same time then both find enough.
        if (options.HugePages && HugePages.FreeMebibytes >= 2 * MemoryMebibytes)
        {
            try
            {
                return Start(options, ["--in-memory", "--single-file-segments"]);
            }
            catch (PeerException failure) when (failure.Message.Contains("EAL:", StringComparison.Ordinal) && failure.Message.Contains("memory", StringComparison.Ordinal))
            {
                // Somebody else took the pages in between.
            }
        }

        return Start(options, ["--no-huge", "--no-shconf"]);
    }

    /// <summary>Sends a command and waits for a text that its answer contains.</summary>
    public string Command(string command, string answer) => Command(command, answer, s_patience);

    /// <summary>Sends a command and waits for a text that its answer contains.</summary>
    public string Command(string command, string answer, TimeSpan patience)
    {
        _process.Send(command);
        return _process.WaitFor(answer, patience);
    }

    /// <summary>Reads the counters of a port, with the rate since they were last read.</summary>
    public PortStatistics ReadStatistics(int port)
    {
        _process.Send(string.Create(CultureInfo.InvariantCulture, $"show port stats {port}"));
        return PortStatistics.Parse(_process.WaitFor(s_endOfStatistics, s_patience));
    }

    /// <summary>Starts forwarding.</summary>
    public void StartForwarding() => Command("start", "packet forwarding");

    /// <summary>Sends bursts of 32 packets, then starts forwarding.</summary>
    public void StartForwarding(int firstBursts) =>
        Command(string.Create(CultureInfo.InvariantCulture, $"start tx_first {firstBursts}"), "packet forwarding");

    /// <summary>Stops forwarding and waits until the forwarding threads have ended.</summary>
    public void StopForwarding() => Command("stop", "Done.");

    /// <summary>Closes all ports and ends.</summary>
    /// <returns>The exit code.</returns>
    public int Quit()
    {
        _process.Send("quit");
        return _process.WaitForExit(s_patience);
    }

    /// <inheritdoc/>
    public void Dispose() => _process.Dispose();

    private static Testpmd Start(TestpmdOptions options, IReadOnlyList<string> memory)
    {
        // Written to a pipe its output would come in blocks of 4 KiB; stdbuf makes it come by lines.
        List<string> arguments = ["-oL", "dpdk-testpmd", "--no-pci", "--no-telemetry", .. memory, "-m", MemoryMebibytes.ToString(CultureInfo.InvariantCulture)];
        arguments.AddRange(["--file-prefix", "pv" + Guid.NewGuid().ToString("N"), "--lcores", Cores(options.Cpu)]);
        foreach (string device in options.Devices)
            arguments.AddRange(["--vdev", device]);
        string queues = options.Queues.ToString(CultureInfo.InvariantCulture);
        arguments.AddRange(["--", "-i", "--nb-cores=1", $"--rxq={queues}", $"--txq={queues}", $"--forward-mode={options.ForwardMode}"]);
        arguments.Add(string.Create(CultureInfo.InvariantCulture, $"--total-num-mbufs={PacketBuffers}"));
        arguments.AddRange(options.Arguments);

        var process = ChildProcess.Start("stdbuf", arguments, options.Lifetime, name: "dpdk-testpmd");
        try
        {
            process.WaitFor(Prompt, s_patience);
            return new Testpmd(process);
        }
        catch (PeerException)
        {
            process.Dispose();
            throw;
        }
    }

    private static string Cores(int? cpu)
    {
        string set = cpu?.ToString(CultureInfo.InvariantCulture)
            ?? string.Create(CultureInfo.InvariantCulture, $"(0-{Environment.ProcessorCount - 1})");
        return $"0@{set},1@{set}";
    }
}
