using System.Diagnostics;
using System.Net.Sockets;
using Paravane.Peers;
using Tmds.Linux;

namespace Paravane.Benchmarks;

/// <summary>What the back-ends take of the machine beside their work: idle CPU, time to start, memory, room on disk.</summary>
internal sealed class FootprintTables(Settings settings)
{
    private const double KibibytesPerMebibyte = 1024;
    private const double BytesPerMebibyte = 1024 * 1024;

    /// <summary>CPU use with a front-end that is connected and silent.</summary>
    public TablePlan Idle() => new(
        new Table("idle-cpu", "Idle after traffic: CPU", "% of a core", MoreIsBetter: false,
            "`paravane bench` is stopped (SIGSTOP) in the midst of its load; then the back-end's CPU time is read from `/proc` over ten seconds. Default polling."),
        [
            new Row("paravane-net", () => IdleShare("net", StartNet), [], new Must(1, AtLeast: false)),
            new Row("paravane-blk", () => IdleShare("blk", StartFile), [], new Must(1, AtLeast: false)),
        ]);

    /// <summary>From the start of the process to the first connection that it accepts.</summary>
    public static TablePlan Start() => new(
        new Table("start", "From process start to accepting a connection", "ms", MoreIsBetter: false,
            "The program is started and its socket tried until a connection succeeds."),
        [
            new Row("paravane-net", () => TimeToAccept(Programs.Net, "--net=loop"), [], new Must(40, AtLeast: false)),
            new Row("paravane-blk", () => TimeToAccept(Programs.Block, "--blk-null=1G"), [], new Must(40, AtLeast: false)),
        ]);

    /// <summary>Memory that belongs to the process alone.</summary>
    public TablePlan Memory() => new(
        new Table("memory", "Private memory", "MiB", MoreIsBetter: false,
            "Private pages in `/proc/PID/smaps_rollup`: at rest before any connection, and in the midst of the load of `paravane bench`. Guest memory is shared and not counted."),
        [
            new Row("paravane-net at rest", () => AtRest(StartNet), [], new Must(12, AtLeast: false)),
            new Row("paravane-net under load", () => UnderLoad("net", StartNet), [], new Must(20, AtLeast: false)),
            new Row("paravane-blk at rest", () => AtRest(StartFile), [], new Must(12, AtLeast: false)),
            new Row("paravane-blk under load", () => UnderLoad("blk", StartFile), [], new Must(20, AtLeast: false)),
        ]);

    /// <summary>The executables.</summary>
    public static TablePlan Size() => new(
        new Table("size", "Executables", "MiB", MoreIsBetter: false, "Size of the file, which needs nothing beside it but libc (and `paravane` liblzma.so.5, for kernels compressed with xz)."),
        [.. ((string[])[Programs.Net, Programs.Block, Programs.Paravane]).Select(path =>
            new Row(Path.GetFileName(path), () => new Sample(new FileInfo(path).Length / BytesPerMebibyte, $"ls -l bin/{Path.GetFileName(path)}"), [], null))]);

    private ChildProcess StartNet(TemporaryDirectory directory) =>
        NetPeer.StartLoop(directory.File("sock"), 1, settings.BackendCpu, settings.Lifetime);

    private ChildProcess StartFile(TemporaryDirectory directory)
    {
        string path = directory.File("disk.img");
        using (FileStream file = File.Create(path))
            file.SetLength(64 << 20);
        return BlockBackend.Start(directory.File("sock"), $"--blk-file={path}", 1, settings.Lifetime, settings.BackendCpu);
    }

    private Sample IdleShare(string device, Func<TemporaryDirectory, ChildProcess> start)
    {
        using var directory = TemporaryDirectory.Create();
        using ChildProcess backend = start(directory);
        using ChildProcess bench = StartLoad(device, directory);
        bench.Signal(LibC.SIGSTOP);
        Thread.Sleep(TimeSpan.FromSeconds(Math.Min(0.5, settings.IdleSeconds)));        // what was under way is answered
        TimeSpan before = ProcessUsage.CpuTime(backend.ProgramId);
        var watch = Stopwatch.StartNew();
        Thread.Sleep(TimeSpan.FromSeconds(settings.IdleSeconds));
        if (backend.HasExited)
            throw new PeerException($"{backend.Name} has ended while its front-end stood still:\n{backend.Transcript}");
        TimeSpan used = ProcessUsage.CpuTime(backend.ProgramId) - before;
        double share = 100 * used / watch.Elapsed;
        bench.Signal(LibC.SIGCONT);
        return new Sample(share, CommandText.Of(backend), CommandText.Of(bench));
    }

    private Sample UnderLoad(string device, Func<TemporaryDirectory, ChildProcess> start)
    {
        using var directory = TemporaryDirectory.Create();
        using ChildProcess backend = start(directory);
        using ChildProcess bench = StartLoad(device, directory);
        return new Sample(ProcessUsage.PrivateKibibytes(backend.ProgramId) / KibibytesPerMebibyte, CommandText.Of(backend), CommandText.Of(bench));
    }

    private static Sample AtRest(Func<TemporaryDirectory, ChildProcess> start)
    {
        using var directory = TemporaryDirectory.Create();
        using ChildProcess backend = start(directory);
        Thread.Sleep(200);
        return new Sample(ProcessUsage.PrivateKibibytes(backend.ProgramId) / KibibytesPerMebibyte, CommandText.Of(backend));
    }

    /// <summary>Starts a load that goes on for longer than anybody looks, and waits until it has run for a while.</summary>
    private ChildProcess StartLoad(string device, TemporaryDirectory directory)
    {
        var bench = BenchCommand.Start(device, directory.File("sock"), ["--runtime=600s"], settings.Lifetime, settings.FrontendCpu);
        Thread.Sleep(TimeSpan.FromSeconds(Math.Min(2, Math.Max(0.5, settings.Seconds))));
        if (bench.HasExited)
            throw new PeerException($"bench has ended:\n{bench.Transcript}");
        return bench;
    }

    private static Sample TimeToAccept(string program, string device)
    {
        using var directory = TemporaryDirectory.Create();
        string path = directory.File("sock");
        string[] arguments = [device, $"--socket-path={path}"];
        long start = Stopwatch.GetTimestamp();
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        try
        {
            while (!Accepts(path))
            {
                if (process.HasExited || Stopwatch.GetElapsedTime(start).TotalSeconds > 10)
                    throw new PeerException($"{program} does not listen");
            }

            return new Sample(Stopwatch.GetElapsedTime(start).TotalMilliseconds, $"bin/{Path.GetFileName(program)} {device} --socket-path=sock");
        }
        finally
        {
            if (!process.HasExited)
                _ = LibC.kill(process.Id, LibC.SIGTERM);
            process.WaitForExit();
        }
    }

    private static bool Accepts(string path)
    {
        if (!File.Exists(path))
            return false;       // a refused connection costs an exception, and there is nothing to connect to yet
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
