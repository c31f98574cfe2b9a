using System.Globalization;
using Paravane.Peers;

namespace Paravane.Benchmarks;

/// <summary>Disks: <c>paravane-blk</c> beside qemu-storage-daemon.</summary>
internal sealed class BlockTables(Settings settings)
{
    private const long NullDiskBytes = 1L << 30;
    private const long FileBytes = 256L << 20;
    private const long LongPollNanoseconds = 1_000_000;

    /// <summary>Requests a second on a disk that does nothing.</summary>
    public TablePlan NullThroughput() => new(
        new Table("null-iops", "Null disk, 4 KiB random read", "kIOPS", MoreIsBetter: true,
            "`paravane bench blk` keeps a queue of requests at a disk that answers without touching data. Both sides poll; the peer runs with the better of its "
            + "default polling (32 µs) and a polling time of 1 ms."),
        [.. ((int[])[32, 128]).Select(depth => new Row(
            string.Create(CultureInfo.InvariantCulture, $"depth {depth}"),
            () => OnNullDisk(depth, Thousands),
            NullPeers(depth, Thousands),
            new Must(1.5, AtLeast: true)))]);

    /// <summary>Latency of a single request on a disk that does nothing.</summary>
    public TablePlan NullLatency() => new(
        new Table("null-latency", "Null disk, 4 KiB random read, one at a time: median latency", "µs", MoreIsBetter: false, "As above with a depth of one."),
        [new Row("depth 1", () => OnNullDisk(1, Latency), NullPeers(1, Latency), new Must(0.3, AtLeast: false))]);

    /// <summary>Requests a second on a file in memory.</summary>
    public TablePlan FileThroughput() => new(
        new Table("file-iops", "File on tmpfs, 4 KiB random, depth 32", "kIOPS", MoreIsBetter: true,
            "A file of 256 MiB, all of it written before. Both back-ends with their default polling; the front-end polls. The peer uses the best of `aio=threads`, `native` "
            + "(with `cache.direct=on`) and `io_uring`, chosen by a run of each."),
        [.. ((string[])["read", "write"]).Select(direction => new Row(
            direction,
            () => OnOurFile(direction),
            [.. ((string[])["threads", "native", "io_uring"]).Select(aio => new Peer($"qemu-storage-daemon, aio={aio}", () => OnPeersFile(direction, aio)))],
            new Must(1.2, AtLeast: true)))]);

    private static double Thousands(BenchResult result) => result.Rate / 1000;

    private static double Latency(BenchResult result) => result.P50Us;

    private Peer[] NullPeers(int depth, Func<BenchResult, double> figure) =>
    [
        new("qemu-storage-daemon, null-co", () => OnPeersNullDisk(depth, figure, null)),
        new("qemu-storage-daemon, null-co, poll-max-ns=1000000", () => OnPeersNullDisk(depth, figure, LongPollNanoseconds)),
    ];

    private Sample OnNullDisk(int depth, Func<BenchResult, double> figure)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("blk.sock");
        using ChildProcess backend = BlockBackend.Start(
            socket, string.Create(CultureInfo.InvariantCulture, $"--blk-null={NullDiskBytes}"), 1, settings.Lifetime, settings.BackendCpu, "--poll=always");
        return Bench(backend, socket, figure, RandomRead(depth));
    }

    private Sample OnPeersNullDisk(int depth, Func<BenchResult, double> figure, long? pollNanoseconds)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("blk.sock");
        using ChildProcess backend = StorageDaemon.Start(
            socket, StorageDaemon.NullDisk(NullDiskBytes), 1, settings.Lifetime, settings.BackendCpu, pollNanoseconds);
        return Bench(backend, socket, figure, RandomRead(depth));
    }

    private Sample OnOurFile(string direction)
    {
        using var directory = TemporaryDirectory.CreateOnTmpfs();
        string socket = directory.File("blk.sock");
        using ChildProcess backend = BlockBackend.Start(socket, $"--blk-file={WrittenFile(directory)}", 1, settings.Lifetime, settings.BackendCpu);
        return Bench(backend, socket, Thousands, [$"--rw=rand{direction}", "--depth=32"]);
    }

    private Sample OnPeersFile(string direction, string aio)
    {
        using var directory = TemporaryDirectory.CreateOnTmpfs();
        string socket = directory.File("blk.sock");
        using ChildProcess backend = StorageDaemon.Start(
            socket, StorageDaemon.FileDisk(WrittenFile(directory), aio), 1, settings.Lifetime, settings.BackendCpu);
        return Bench(backend, socket, Thousands, [$"--rw=rand{direction}", "--depth=32"]);
    }

    private static string[] RandomRead(int depth) => ["--rw=randread", string.Create(CultureInfo.InvariantCulture, $"--depth={depth}")];

    private Sample Bench(ChildProcess backend, string socket, Func<BenchResult, double> figure, string[] load)
    {
        string[] options = [.. load, .. BenchOptions.Of(settings)];
        using ChildProcess bench = BenchCommand.Start("blk", socket, options, settings.Lifetime, settings.FrontendCpu);
        BenchResult result = BenchCommand.Finish(bench, settings.Lifetime);
        if (result.Errors + result.Lost > 0)
            throw new PeerException($"{backend.Name}: {result.Errors} errors, {result.Lost} lost");
        return new Sample(figure(result), CommandText.Of(backend), CommandText.Of(bench));
    }

    /// <summary>A file with all its blocks there: no side pays for their allocation.</summary>
    private static string WrittenFile(TemporaryDirectory directory)
    {
        string path = directory.File("disk.img");
        using FileStream file = File.Create(path);
        byte[] block = new byte[1 << 20];
        new Random(1).NextBytes(block);
        for (long written = 0; written < FileBytes; written += block.Length)
            file.Write(block);
        return path;
    }
}
