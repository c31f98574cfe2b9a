using System.CommandLine;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Frontend;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Verbs;

/// <summary><c>paravane bench net</c>: loads a network device behind any vhost-user socket.</summary>
internal static class BenchNet
{
    /// <summary>Builds the verb.</summary>
    public static Command Create()
    {
        var command = new Command("net", "Load a network device: Mpps, latencies and, with --verify, proof that every frame comes back as it was sent");
        Option<int> pairs = Options.Number("--queue-pairs", "Number of queue pairs", 1, 1, 64);
        Option<string> mode = Options.Word("--mode", "Expect every frame back, only receive, or only send", "loop", "rx", "tx");
        Option<int> frameSize = Options.Number("--frame-size", "Bytes of each frame without its check sequence, such as 1518", 64, NetFrame.MinBytes, 65535);
        Option<int> burst = Options.Number("--burst", "Frames sent and taken at once", 32, 1, 256);
        Option<string> mergeable = Options.Word("--mergeable", "Negotiate mergeable receive buffers", "on", "off");
        Option<string> inOrder = Options.Word("--in-order", "Negotiate in-order use of buffers", "off", "on");
        Option<int> queueSize = Options.Number("--queue-size", "Queue size in descriptors", 256, 1, 32768);
        foreach (Option option in (Option[])[pairs, mode, frameSize, burst, mergeable, inOrder, queueSize])
        {
            command.Options.Add(option);
        }

        var common = new BenchOptions(command, "Number every frame and check every byte that comes back (--mode=loop)");
        command.SetAction(parsed => Verb.Run("bench net", stop =>
        {
            BenchRequest request = common.Read(parsed);
            string what = parsed.GetRequiredValue(mode);
            var settings = new NetBenchSettings
            {
                QueuePairs = parsed.GetValue(pairs),
                Mode = what switch
                {
                    "rx" => NetMode.Receive,
                    "tx" => NetMode.Transmit,
                    _ => NetMode.Loop,
                },
                FrameBytes = parsed.GetValue(frameSize),
                Burst = parsed.GetValue(burst),
                Format = request.Format,
                EventIndex = request.EventIndex,
                Mergeable = parsed.GetValue(mergeable) == "on",
                InOrder = parsed.GetValue(inOrder) == "on",
                QueueSize = parsed.GetValue(queueSize),
                Verify = request.Verify,
                HugePages = request.HugePages,
            };
            Check(settings, what);
            return Run(request, settings, what, stop);
        }));
        return command;
    }

    private static void Check(NetBenchSettings settings, string mode)
    {
        if (settings.Verify && settings.Mode != NetMode.Loop)
        {
            throw new UsageException($"--verify: only frames that come back can be checked, use --mode=loop in place of --mode={mode}");
        }

        if (settings.Format == RingFormat.Split && !System.Numerics.BitOperations.IsPow2(settings.QueueSize))
        {
            throw new UsageException($"--queue-size={settings.QueueSize}: a split ring needs a power of two");
        }

        // A mergeable buffer has 2048 bytes; a whole frame must fit into the ring.
        if (settings.Mergeable && settings.FrameBytes + NetArrivals.HeaderBytes > settings.QueueSize * 2048)
        {
            throw new UsageException($"--queue-size={settings.QueueSize}: too few buffers of 2048 bytes for --frame-size={settings.FrameBytes}");
        }
    }

    private static int Run(BenchRequest request, NetBenchSettings settings, string mode, CancellationToken stop)
    {
        using VhostUserFrontend frontend = VhostUserFrontend.Connect(request.SocketPath);
        using NetBench bench = NetBench.Start(frontend, settings);
        var run = new LoadRun([frontend], bench.Loads, request.SpinMicroseconds, request.Cpus)
        {
            Warmup = request.Warmup,
            Runtime = request.Runtime,
            Stop = stop,
        };
        LoadResult result = run.Execute();
        bench.Stop();
        return BenchReport.Write("net", request, result, "Mpps", "mpps", 1e6,
        [
            ("mode", mode),
            ("queue_pairs", settings.QueuePairs),
            ("frame_size", settings.FrameBytes),
            ("burst", settings.Burst),
            ("queue_size", settings.QueueSize),
            ("ring", settings.Format == RingFormat.Packed ? "packed" : "split"),
            ("mergeable", settings.Mergeable),
            ("in_order", settings.InOrder),
            ("event_idx", settings.EventIndex),
            ("notify", request.SpinMicroseconds == 0 ? "eventfd" : "poll"),
            ("verify", settings.Verify),
        ]);
    }
}
