using System.CommandLine;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Frontend;

namespace Paravane.Hypervisor.Verbs;

/// <summary><c>paravane bench blk</c>: loads a block device behind any vhost-user socket.</summary>
internal static class BenchBlock
{
    /// <summary>Builds the verb.</summary>
    public static Command Create()
    {
        var command = new Command("blk", "Load a block device: IOPS, latencies and, with --verify, proof of what it stores. --verify and writing modes overwrite the disk.");
        Option<int> queues = Options.Number("--queues", "Number of queues", 1, 1, 64);
        Option<int> depth = Options.Number("--depth", "Requests under way on each queue", 32, 1, 4096);
        Option<ByteCount> blockSize = Options.Size("--block-size", "Bytes of each request, such as 4K", 4096);
        Option<string> rw = Options.Word("--rw", "What to do", "randread", "read", "write", "randwrite", "randrw");
        Option<int> mix = Options.Number("--mix", "Share of reads of --rw=randrw in per cent", 70, 0, 100);
        Option<string> indirect = Options.Word("--indirect", "Put each request into an indirect table", "on", "off");
        Option<int> queueSize = Options.Number("--queue-size", "Queue size in descriptors; 0: what the depth needs, at least 128", 0, 0, 32768);
        Option<ByteCount> size = Options.Size("--size", "Part of the disk to use; 0: all of it, with --verify the first 64M", 0);
        Option<int> seed = Options.Number("--seed", "Seed of offsets and patterns", 1, 0, int.MaxValue);
        foreach (Option option in (Option[])[queues, depth, blockSize, rw, mix, indirect, queueSize, size, seed])
        {
            command.Options.Add(option);
        }

        var common = new BenchOptions(command, "Fill the part with patterns, check every read, read all again at the end");
        command.SetAction(parsed => Verb.Run("bench blk", stop =>
        {
            BenchRequest request = common.Read(parsed);
            string mode = parsed.GetRequiredValue(rw);
            bool throughTables = parsed.GetValue(indirect) == "on";
            int wantedSize = parsed.GetValue(queueSize);
            ulong blockBytes = parsed.GetValue(blockSize).Bytes;
            if (blockBytes is 0 or > (1 << 30) || blockBytes % 512 != 0)
            {
                throw new UsageException($"--block-size={blockBytes}: it must be a multiple of 512, up to 1G");
            }

            ulong area = parsed.GetValue(size).Bytes;
            var settings = new BlockBenchSettings
            {
                Queues = parsed.GetValue(queues),
                Depth = parsed.GetValue(depth),
                BlockBytes = (uint)blockBytes,
                ReadPercent = mode switch
                {
                    "read" or "randread" => 100,
                    "write" or "randwrite" => 0,
                    _ => parsed.GetValue(mix),
                },
                Random = mode.StartsWith("rand", StringComparison.Ordinal),
                Format = request.Format,
                EventIndex = request.EventIndex,
                Indirect = throughTables,
                QueueSize = wantedSize != 0 ? wantedSize : BlockBenchSettings.QueueSizeFor(parsed.GetValue(depth), throughTables),
                Verify = request.Verify,
                AreaBytes = area == 0 ? null : area,
                Seed = (ulong)parsed.GetValue(seed),
                HugePages = request.HugePages,
            };
            CheckQueueSize(settings);
            return Run(request, settings, mode, stop);
        }));
        return command;
    }

    private static void CheckQueueSize(BlockBenchSettings settings)
    {
        int needed = settings.Depth * (settings.Indirect ? 1 : 3);
        if (settings.QueueSize < needed)
        {
            throw new UsageException($"--queue-size={settings.QueueSize}: depth {settings.Depth} takes {needed} descriptors");
        }

        if (settings.Format == VirtioQueues.RingFormat.Split && !System.Numerics.BitOperations.IsPow2(settings.QueueSize))
        {
            throw new UsageException($"--queue-size={settings.QueueSize}: a split ring needs a power of two");
        }
    }

    private static int Run(BenchRequest request, BlockBenchSettings settings, string mode, CancellationToken stop)
    {
        using VhostUserFrontend frontend = VhostUserFrontend.Connect(request.SocketPath);
        using BlockBench bench = BlockBench.Start(frontend, settings);
        var run = new LoadRun([frontend], bench.Loads, request.SpinMicroseconds, request.Cpus)
        {
            Warmup = request.Warmup,
            Runtime = request.Runtime,
            Stop = stop,
        };
        LoadResult result = run.Execute();
        bench.Stop();
        return BenchReport.Write("blk", request, result, "IOPS", "iops", 1,
        [
            ("rw", mode),
            ("read_percent", settings.ReadPercent),
            ("queues", settings.Queues),
            ("depth", settings.Depth),
            ("block_size", (long)settings.BlockBytes),
            ("queue_size", settings.QueueSize),
            ("ring", settings.Format == VirtioQueues.RingFormat.Packed ? "packed" : "split"),
            ("event_idx", settings.EventIndex),
            ("indirect", settings.Indirect),
            ("notify", request.SpinMicroseconds == 0 ? "eventfd" : "poll"),
            ("verify", settings.Verify),
        ]);
    }
}
