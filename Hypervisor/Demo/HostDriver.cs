using System.Diagnostics;
using Microsoft.Win32.SafeHandles;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Frontend;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Demo;

/// <summary>This process as the driver: it gets the devices guest memory and four queues as a hypervisor hands them over, and works on the rings itself.</summary>
/// <remarks>The disk has two split rings, the network device one pair of packed rings.</remarks>
internal sealed class HostDriver : IDemoDriver
{
    private const int BlockBytes = 4096;
    private const int FrameBytes = 1514; // a full Ethernet frame without its check sequence

    /// <summary>Time that a thread without work spins before it sleeps: hides the short waits, leaves the processor to the devices in long ones.</summary>
    private const int SpinMicroseconds = 20;

    /// <summary>Processors from which on every device gets a driving thread of its own.</summary>
    private const int ProcessorsForTwoThreads = 4;

    private readonly string _why;
    private readonly DemoBackEnd _disk;
    private readonly DemoBackEnd _net;
    private readonly BlockBench _blocks;
    private readonly NetBench _frames;

    /// <summary>Starts the back-ends and hands over memory and queues.</summary>
    /// <param name="image">The disk's.</param>
    /// <param name="why">Why this one and not a guest, the end of a sentence.</param>
    /// <exception cref="FrontendException">A program is missing or did not come up.</exception>
    public HostDriver(DemoImage image, string why)
    {
        _why = why;
        DemoBackEnd? disk = null, net = null;
        BlockBench? blocks = null;
        try
        {
            disk = DemoBackEnd.Start("paravane-blk", $"--blk-file={image.Path}", "--num-queues=2");
            net = DemoBackEnd.Start("paravane-net", "--net=loop", "--queue-pairs=1");
            blocks = BlockBench.Start(disk.Frontend, DiskSettings(image.SizeBytes));
            _frames = NetBench.Start(net.Frontend, NetSettings());
            (_disk, _net, _blocks) = (disk, net, blocks);
        }
        catch
        {
            blocks?.Dispose();
            net?.Dispose();
            disk?.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public string Introduction =>
        $"A disk in process {_disk.Process.Pid} (paravane-blk) and a looping network device in process {_net.Process.Pid} (paravane-net).\n"
        + $"{_why}, so this process ({Environment.ProcessId}) drives the rings itself through shared memory.";

    /// <inheritdoc/>
    public void Run(int seconds, CancellationToken stop)
    {
        try
        {
            LoadResult result = Drive(seconds, stop);
            _blocks.Stop();
            _frames.Stop();
            if (result.Errors != 0 || result.Lost != 0)
            {
                throw new FrontendException($"{result.Errors} errors, {result.Lost} lost: {result.FirstError ?? "frames or requests did not come back"}");
            }
        }
        catch (FrontendException failure)
        {
            foreach (DemoBackEnd backEnd in (DemoBackEnd[])[_disk, _net])
            {
                // A back-end that died says more than the connection that broke.
                if (backEnd.Process.WaitForEnd(TimeSpan.FromMilliseconds(300)) && backEnd.Process.ExitCode != 0)
                {
                    throw new FrontendException(backEnd.Process.DescribeEnd(), failure);
                }

                if (!backEnd.Frontend.IsUsable)
                {
                    throw new FrontendException($"{backEnd.Process.Name}: {failure.Message}", failure);
                }
            }

            throw;
        }
    }

    /// <inheritdoc/>
    public string? FindMismatch(SafeFileHandle image) => _blocks.Loads.Select(load => load.FindMismatch(image)).FirstOrDefault(difference => difference is not null);

    /// <inheritdoc/>
    public void Finish()
    {
        _net.Stop();
        _disk.Stop();
    }

    /// <inheritdoc/>
    public IEnumerable<string> Summary(long imageBytes)
    {
        long checkedBlocks = _blocks.Loads.Sum(load => load.Counters.Verified);
        long requests = _blocks.Loads.Sum(load => load.Counters.Done);
        long checkedFrames = _frames.Loads.Sum(load => load.Counters.Verified);
        return
        [
            $"  disk  {DemoView.Number(requests, "#,0")} requests on two split rings, {DemoView.Number(checkedBlocks, "#,0")} blocks read and compared with what was written;",
            $"        the image file of {imageBytes >> 20} MiB holds the same, read from outside the device",
            $"  net   {DemoView.Number(checkedFrames, "#,0")} frames of {FrameBytes} bytes through a pair of packed rings and back: none lost, none twice, none out of order, every byte right",
        ];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _frames.Dispose();
        _blocks.Dispose();
        _net.Dispose();
        _disk.Dispose();
    }

    private static BlockBenchSettings DiskSettings(long imageBytes) => new()
    {
        Queues = 2,
        Depth = 32,
        BlockBytes = BlockBytes,
        ReadPercent = 70,
        Random = true,
        Format = RingFormat.Split,
        Verify = true,
        AreaBytes = (ulong)imageBytes,
        Seed = (ulong)Stopwatch.GetTimestamp(),
    };

    private static NetBenchSettings NetSettings() => new()
    {
        QueuePairs = 1,
        FrameBytes = FrameBytes,
        Format = RingFormat.Packed,
        Verify = true,
    };

    private LoadResult Drive(int seconds, CancellationToken stop)
    {
        var meters = new DemoMeters(
            seconds,
            "(drives both)",
            new DemoMeter([.. _blocks.Loads.Select(load => load.Counters)], _disk.Process.ProcessorTime),
            new DemoMeter([.. _frames.Loads.Select(load => load.Counters)], _net.Process.ProcessorTime));
        int processors = Environment.ProcessorCount;
        var run = new LoadRun(
            [_disk.Frontend, _net.Frontend],
            [_blocks.Loads[0], _frames.Loads[0], _blocks.Loads[1]],
            processors == 1 ? 0 : SpinMicroseconds,
            cpus: [],
            unpinnedThreads: processors >= ProcessorsForTwoThreads ? 2 : 1)
        {
            Runtime = TimeSpan.FromSeconds(seconds),
            Stop = stop,
            Progress = _ => meters.Show(),
        };
        return run.Execute();
    }
}
