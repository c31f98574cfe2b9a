using System.Globalization;
using System.Text.RegularExpressions;
using Paravane.Peers;

namespace Paravane.Benchmarks;

/// <summary>What serving rings allocates, by each worker's own count of its thread.</summary>
internal sealed partial class AllocationTable(Settings settings)
{
    private const long FileBytes = 64L << 20;

    /// <summary>All kinds of data paths, from the first request on.</summary>
    public TablePlan Plan() => new(
        new Table("allocations", "Allocated while serving rings", "bytes", MoreIsBetter: false,
            "The back-end's worker threads count what they allocate outside of orders (start of a ring, new memory) and say so at their end, with `--log-level=debug`. "
            + "`paravane bench` loads the device meanwhile; its start counts too."),
        [
            new Row("net loop, split", () => OfNet("split"), [], new Must(0, AtLeast: false)),
            new Row("net loop, packed", () => OfNet("packed"), [], new Must(0, AtLeast: false)),
            new Row("disk, null", () => OfDisk(_ => "--blk-null=1G"), [], new Must(0, AtLeast: false)),
            new Row("disk, ram", () => OfDisk(_ => "--blk-ram=64M"), [], new Must(0, AtLeast: false)),
            new Row("disk, file", () => OfDisk(FileStore), [], new Must(0, AtLeast: false)),
        ]);

    private static string FileStore(TemporaryDirectory directory)
    {
        string path = directory.File("disk.img");
        using FileStream file = File.Create(path);
        file.SetLength(FileBytes);
        return $"--blk-file={path}";
    }

    private Sample OfNet(string ring)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("net.sock");
        using ChildProcess backend = NetPeer.StartLoop(socket, 1, settings.BackendCpu, settings.Lifetime, "--log-level=debug");
        return Load(backend, "net", socket, $"--ring={ring}");
    }

    private Sample OfDisk(Func<TemporaryDirectory, string> store)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("blk.sock");
        using ChildProcess backend = BlockBackend.Start(socket, store(directory), 1, settings.Lifetime, settings.BackendCpu, "--log-level=debug");
        return Load(backend, "blk", socket);
    }

    private Sample Load(ChildProcess backend, string device, string socket, params string[] options)
    {
        using ChildProcess bench = BenchCommand.Start(device, socket, [.. options, .. BenchOptions.Of(settings)], settings.Lifetime, settings.FrontendCpu);
        _ = BenchCommand.Finish(bench, settings.Lifetime);
        string command = CommandText.Of(backend);
        _ = backend.Stop();
        MatchCollection workers = AllocatedBytes().Matches(backend.Transcript);
        return workers.Count != 0
            ? new Sample(workers.Sum(match => long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)), command, CommandText.Of(bench))
            : throw new PeerException($"no worker of {backend.Name} said what it allocated:\n{backend.Transcript}");
    }

    [GeneratedRegex("; ([0-9]+) bytes allocated while it served rings")]
    private static partial Regex AllocatedBytes();
}
