using System.Diagnostics;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Frontend;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Demo;

/// <summary>
/// The demo: a disk and a network device, each in a process of its own, get guest memory and four queues exactly as a hypervisor hands them over, and
/// are driven with data that is checked to the last byte.
/// </summary>
/// <remarks>The disk has two split rings, the network device one pair of packed rings.</remarks>
internal sealed class DemoRun(int seconds, CancellationToken stop)
{
    private const long ImageBytes = 64 << 20;
    private const int BlockBytes = 4096;
    private const int FrameBytes = 1514; // a full Ethernet frame without its check sequence

    /// <summary>Time that a thread without work spins before it sleeps: hides the short waits, leaves the processor to the devices in long ones.</summary>
    private const int SpinMicroseconds = 20;

    /// <summary>Processors from which on every device gets a driving thread of its own.</summary>
    private const int ProcessorsForTwoThreads = 4;

    /// <summary>Runs the demo and prints its summary.</summary>
    /// <exception cref="IOException">Something failed; the message says what.</exception>
    public void Execute()
    {
        using DemoImage image = DemoImage.Create(ImageBytes);
        using DemoBackEnd disk = DemoBackEnd.Start("paravane-blk", $"--blk-file={image.Path}", "--num-queues=2");
        image.Unname();
        using DemoBackEnd net = DemoBackEnd.Start("paravane-net", "--net=loop", "--queue-pairs=1");
        Console.Out.WriteLine($"A disk in process {disk.Process.Pid} (paravane-blk) and a looping network device in process {net.Process.Pid} (paravane-net),");
        Console.Out.WriteLine($"driven from process {Environment.ProcessId} through shared memory for {seconds} s. Every block and every frame is checked.");
        Console.Out.WriteLine();
        try
        {
            using BlockBench blocks = BlockBench.Start(disk.Frontend, DiskSettings());
            using NetBench frames = NetBench.Start(net.Frontend, NetSettings());
            LoadResult result = Drive(disk, net, blocks, frames);
            blocks.Stop();
            frames.Stop();
            Judge(result);
            CheckImage(blocks, image);
            net.Stop();
            disk.Stop();
            Summarise(blocks, frames);
        }
        catch (FrontendException failure)
        {
            foreach (DemoBackEnd backEnd in (DemoBackEnd[])[disk, net])
            {
                // A back-end that died says more than the connection that broke.
                if (backEnd.Process.WaitForEnd(TimeSpan.FromMilliseconds(300)) && backEnd.Process.ExitCode != 0)
                {
                    throw new FrontendException(backEnd.Process.DescribeEnd(), failure);
                }
            }

            throw;
        }
    }

    private static BlockBenchSettings DiskSettings() => new()
    {
        Queues = 2,
        Depth = 32,
        BlockBytes = BlockBytes,
        ReadPercent = 70,
        Random = true,
        Format = RingFormat.Split,
        Verify = true,
        AreaBytes = ImageBytes,
        Seed = (ulong)Stopwatch.GetTimestamp(),
    };

    private static NetBenchSettings NetSettings() => new()
    {
        QueuePairs = 1,
        FrameBytes = FrameBytes,
        Format = RingFormat.Packed,
        Verify = true,
    };

    private LoadResult Drive(DemoBackEnd disk, DemoBackEnd net, BlockBench blocks, NetBench frames)
    {
        var diskMeter = new DemoMeter(blocks.Loads, disk.Process.ProcessorTime);
        var netMeter = new DemoMeter(frames.Loads, net.Process.ProcessorTime);
        var ownMeter = new DemoMeter([], () => Environment.CpuUsage.TotalTime);
        foreach (DemoMeter meter in (DemoMeter[])[diskMeter, netMeter, ownMeter])
        {
            meter.Start();
        }

        var view = new DemoView(!Console.IsOutputRedirected, seconds);
        int second = 0;
        int processors = Environment.ProcessorCount;
        var run = new LoadRun(
            [disk.Frontend, net.Frontend],
            [blocks.Loads[0], frames.Loads[0], blocks.Loads[1]],
            processors == 1 ? 0 : SpinMicroseconds,
            cpus: [],
            unpinnedThreads: processors >= ProcessorsForTwoThreads ? 2 : 1)
        {
            Runtime = TimeSpan.FromSeconds(seconds),
            Stop = stop,
            Progress = _ => view.Show(++second, diskMeter.Read(), netMeter.Read(), ownMeter.Read().CpuPercent),
        };
        return run.Execute();
    }

    private static void Judge(LoadResult result)
    {
        if (result.Errors != 0 || result.Lost != 0)
        {
            throw new FrontendException($"{result.Errors} errors, {result.Lost} lost: {result.FirstError ?? "frames or requests did not come back"}");
        }
    }

    /// <summary>Reads the image as any other program on the host would, and compares.</summary>
    private static void CheckImage(BlockBench blocks, DemoImage image)
    {
        foreach (IBlockLoad load in blocks.Loads)
        {
            if (load.FindMismatch(image.Handle) is string difference)
            {
                throw new FrontendException(difference);
            }
        }
    }

    private void Summarise(BlockBench blocks, NetBench frames)
    {
        long checkedBlocks = blocks.Loads.Sum(load => load.Counters.Verified);
        long requests = blocks.Loads.Sum(load => load.Counters.Done);
        long checkedFrames = frames.Loads.Sum(load => load.Counters.Verified);
        Console.Out.WriteLine();
        Console.Out.WriteLine($"{(stop.IsCancellationRequested ? "Stopped early, all in order:" : "All in order:")}");
        Console.Out.WriteLine(
            $"  disk  {DemoView.Number(requests, "#,0")} requests on two split rings, {DemoView.Number(checkedBlocks, "#,0")} blocks read and compared with what was written;");
        Console.Out.WriteLine($"        the image file of {ImageBytes >> 20} MiB holds the same, read from outside the device");
        Console.Out.WriteLine(
            $"  net   {DemoView.Number(checkedFrames, "#,0")} frames of {FrameBytes} bytes through a pair of packed rings and back: none lost, none twice, none out of order, every byte right");
    }
}
