using System.Diagnostics;
using Paravane.EndToEnd.Disk;
using Paravane.Hypervisor.Memory;
using Paravane.Peers;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Spec;

namespace Paravane.EndToEnd.Crash;

/// <summary>paravane-blk is killed under verified load, and another one takes its rings over.</summary>
[Collection(BusyMachine.Name)]
public sealed class CrashedDiskTests
{
    /// <summary>Of each case: 800 in all, which are 1000 with those of <see cref="CrashedLoopTests"/> (threats I4). A kill and what follows take some 50 ms.</summary>
    private const int Kills = 100;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData(1, false, true, false)]
    [InlineData(1, false, true, true)]
    [InlineData(3, true, false, false)]
    [InlineData(3, true, false, true)]
    public void I4_split_rings_go_on_with_every_request_and_every_byte_after_kill_9(int queues, bool indirect, bool eventIndex, bool onTmpfs) =>
        Run<SplitDriver>(queues, indirect, eventIndex, onTmpfs, 0);

    [Theory]
    [InlineData(1, false, true, false)]
    [InlineData(1, false, true, true)]
    [InlineData(3, true, false, false)]
    [InlineData(3, true, false, true)]
    public void I4_packed_rings_go_on_with_every_request_and_every_byte_after_kill_9(int queues, bool indirect, bool eventIndex, bool onTmpfs) =>
        Run<PackedDriver>(queues, indirect, eventIndex, onTmpfs, VirtioFeatures.RingPacked);

    private static void Run<TDriver>(int queues, bool indirect, bool eventIndex, bool onTmpfs, ulong format)
        where TDriver : struct, IDriverRing<TDriver>
    {
        ulong features = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | format | (eventIndex ? VirtioFeatures.EventIdx : 0);

        // An image in memory is read and written at once, one on a disk through io_uring: different things are under way when the end comes.
        using TemporaryDirectory scratch = onTmpfs ? TemporaryDirectory.CreateOnTmpfs() : TemporaryDirectory.Create();
        string path = scratch.File("image");
        using (FileStream file = File.Create(path))
        {
            file.SetLength(8 << 20);
        }

        using GuestRam ram = GuestRam.Create(4 << 20);
        using var device = new CrashingDevice(
            Programs.Block, scratch.File("disk"), [$"--blk-file={path}", $"--num-queues={queues}", "--direct=off"], features, ram, queues, 64, indirect ? 3 : 0);
        DiskQueueLoad<TDriver>[] loads = [.. device.Queues.Select(queue => new DiskQueueLoad<TDriver>(queue, ram, indirect))];
        device.Start();
        var random = new Random((queues * 4) + (onTmpfs ? 2 : 0) + (format != 0 ? 1 : 0));
        var times = new RestartTimes();
        for (int kill = 0; kill < Kills; kill++)
        {
            RunFor(loads, TimeSpan.FromMilliseconds(random.Next(1, 20)));
            long there = device.KillAndStartAgain(() => Array.ForEach(loads, load => load.Turn(submits: true)));
            int before = loads.Sum(load => load.Completed);
            RunUntil(loads, submits: true, () => loads.Sum(load => load.Completed) > before);
            times.Add(there);
        }

        RunUntil(loads, submits: false, () => loads.Sum(load => load.Outstanding) == 0);
        device.StopRings();
        Assert.True(loads.Sum(load => load.Completed) > Kills);
        Assert.All(loads, load => Assert.True(load.Completed > DiskQueueLoad<TDriver>.Depth, $"{load.Completed} requests")); // the last queue has the least of a short life
        Assert.All(loads, load => load.AssertImage(new DiskImage(path)));
        times.AssertMedian(Kills);
    }

    private static void RunFor<TDriver>(DiskQueueLoad<TDriver>[] loads, TimeSpan time)
        where TDriver : struct, IDriverRing<TDriver>
    {
        long start = Stopwatch.GetTimestamp();
        RunUntil(loads, submits: true, () => Stopwatch.GetElapsedTime(start) > time);
    }

    private static void RunUntil<TDriver>(DiskQueueLoad<TDriver>[] loads, bool submits, Func<bool> condition)
        where TDriver : struct, IDriverRing<TDriver>
    {
        long start = Stopwatch.GetTimestamp();
        do
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < s_patience, $"{loads.Sum(load => load.Outstanding)} requests never came back");
            foreach (DiskQueueLoad<TDriver> load in loads)
            {
                load.Turn(submits);
            }

            Thread.Sleep(0);
        }
        while (!condition());
    }
}
