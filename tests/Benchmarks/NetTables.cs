using System.Globalization;
using Paravane.Peers;

namespace Paravane.Benchmarks;

/// <summary>Loops of frames: <c>paravane-net --net=loop</c> beside testpmd's vhost port with <c>io</c> forwarding.</summary>
internal sealed class NetTables(Settings settings)
{
    private const string PeerName = "DPDK net_vhost";
    private const int RingSize = 1024;
    private const int FirstBursts = 16;         // 512 frames circle: half of a ring, so that nothing is ever dropped
    private static readonly (bool Packed, int FrameBytes)[] s_cases = [(false, 64), (true, 64), (false, 1518), (true, 1518)];

    /// <summary>With testpmd's virtio-user port as front-end.</summary>
    public TablePlan ThroughTestpmd() => new(
        new Table("net-testpmd", "Loop, testpmd as front-end", "Mpps", MoreIsBetter: true,
            "512 frames circle between the rings of testpmd's virtio-user port (mergeable buffers, rings of 1024) and the back-end; testpmd counts those that come "
            + "back. Both sides poll. testpmd's own work for a frame is about as much as the back-end's, which bounds what a faster back-end can show here."),
        [.. s_cases.Select(test => new Row(
            Label(test.Packed, test.FrameBytes),
            () => WithLoop(socket => TestpmdFront(socket, test.Packed, test.FrameBytes)),
            [new Peer(PeerName, () => WithVhost(socket => TestpmdFront(socket, test.Packed, test.FrameBytes)))],
            test.FrameBytes == 64 ? new Must(1.0, AtLeast: true) : null))]);

    /// <summary>With <c>paravane bench net</c> as front-end.</summary>
    public TablePlan ThroughBench() => new(
        new Table("net-bench", "Loop, paravane bench as front-end", "Mpps", MoreIsBetter: true,
            "`paravane bench net` sends frames as fast as the back-end takes them and counts those that come back (mergeable buffers). Both sides poll."),
        [.. s_cases.Select(test => new Row(
            Label(test.Packed, test.FrameBytes),
            () => WithLoop(socket => BenchFront(socket, test.Packed, test.FrameBytes)),
            [new Peer(PeerName, () => WithVhost(socket => BenchFront(socket, test.Packed, test.FrameBytes)))],
            new Must(1.3, AtLeast: true)))]);

    private static string Label(bool packed, int frameBytes) =>
        string.Create(CultureInfo.InvariantCulture, $"{frameBytes} B, {(packed ? "packed" : "split")}");

    private Sample WithLoop(Func<string, (double Value, string Command)> front)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("net.sock");
        using ChildProcess backend = NetPeer.StartLoop(socket, 1, settings.BackendCpu, settings.Lifetime, "--poll=always");
        (double value, string command) = front(socket);
        return new Sample(value, CommandText.Of(backend), command);
    }

    private Sample WithVhost(Func<string, (double Value, string Command)> front)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("net.sock");
        using Testpmd backend = NetPeer.StartVhost(socket, 1, settings.BackendCpu, settings.Lifetime);
        (double value, string command) = front(socket);
        return new Sample(value, CommandText.Of(backend.Process), command);
    }

    private (double Value, string Command) TestpmdFront(string socket, bool packed, int frameBytes)
    {
        var port = new VirtioUserPort(socket) { Packed = packed, Mergeable = true, QueueSize = RingSize };
        using var testpmd = Testpmd.Start(new TestpmdOptions
        {
            Devices = [port.ToDevice()],
            Cpu = settings.FrontendCpu,
            Arguments = ["--port-topology=loop", $"--txd={RingSize}", $"--rxd={RingSize}"],
            Lifetime = settings.Lifetime,
        });
        testpmd.Command(string.Create(CultureInfo.InvariantCulture, $"set txpkts {frameBytes}"), "testpmd> ");
        testpmd.StartForwarding(FirstBursts);
        Thread.Sleep(TimeSpan.FromSeconds(Math.Min(1, settings.Seconds / 2)));
        testpmd.ReadStatistics(0);
        Thread.Sleep(TimeSpan.FromSeconds(settings.Seconds));
        double rate = testpmd.ReadStatistics(0).ReceivedPerSecond / 1e6;
        testpmd.StopForwarding();
        return (rate, CommandText.Of(testpmd.Process));
    }

    private (double Value, string Command) BenchFront(string socket, bool packed, int frameBytes)
    {
        string[] options =
        [
            string.Create(CultureInfo.InvariantCulture, $"--frame-size={frameBytes}"),
            $"--ring={(packed ? "packed" : "split")}",
            .. BenchOptions.Of(settings),
        ];
        using ChildProcess bench = BenchCommand.Start("net", socket, options, settings.Lifetime, settings.FrontendCpu);
        return (BenchCommand.Finish(bench, settings.Lifetime).Rate, CommandText.Of(bench));
    }
}
