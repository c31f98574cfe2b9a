using System.Diagnostics;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Tests.Virtio;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>Devices behind real workers that are killed with requests under way.</summary>
public sealed class WorkerDeathTests
{
    private const ulong Base = VirtioFeatures.Version1 | VirtioFeatures.EventIdx;
    private const int Blocks = 1024;

    [Theory]
    [InlineData(RingFormat.Split)]
    [InlineData(RingFormat.Packed)]
    public void A_disk_goes_on_through_the_death_of_its_worker_with_requests_under_way(RingFormat format)
    {
        if (format == RingFormat.Split)
        {
            SurviveKills<SplitDriver>(Base);
        }
        else
        {
            SurviveKills<PackedDriver>(Base | VirtioFeatures.RingPacked);
        }
    }

    [Fact]
    public void The_first_completion_comes_within_100_ms_of_the_connection()
    {
        double limit = BackEndPrograms.ArePublished ? 100 : 1000; // a debug build compiles its code first
        using TempFile image = new(Blocks * DiskDriver<SplitDriver>.BlockBytes);
        using WorkerRig rig = WorkerRig.Disk($"--blk-file={image.Path}");
        using var driver = new DiskDriver<SplitDriver>(rig, 0, Base);
        rig.Device.Start(Base, [driver.Setup]);
        var times = new List<double>();
        for (int i = 0; i < 5; i++)
        {
            driver.Submit(0, write: false, block: 0);
            _ = driver.Collect();
            int old = rig.Kill();
            driver.Submit(0, write: false, block: 1);
            Wait.Until(() => rig.Device.Counters.ConnectedAt != 0 && rig.Device.WorkerProcessId is { } pid && pid != old);
            _ = driver.Collect();
            times.Add(Stopwatch.GetElapsedTime(rig.Device.Counters.ConnectedAt).TotalMilliseconds);
        }

        times.Sort();
        Assert.True(times[2] < limit, $"the median of {string.Join(", ", times.Select(time => $"{time:0.0}"))} ms");
        Assert.Equal(0, rig.NeedsReset);
    }

    /// <summary>Random reads and writes, verified, while the worker dies again and again.</summary>
    private static void SurviveKills<TRing>(ulong features)
        where TRing : struct, IDriverRing<TRing>
    {
        const int Kills = 8;
        using TempFile image = new(Blocks * DiskDriver<TRing>.BlockBytes);
        using WorkerRig rig = WorkerRig.Disk($"--blk-file={image.Path}", "--num-queues=2");
        using var driver = new DiskDriver<TRing>(rig, 0, features);
        rig.Device.Start(features, [driver.Setup]);
        uint[] written = new uint[Blocks];
        (int Block, bool IsWrite)[] under = new (int, bool)[DiskDriver<TRing>.Depth];
        var random = new Random(17);
        uint generation = 0;
        int kills = 0;
        var sinceKill = Stopwatch.StartNew();
        var life = Stopwatch.StartNew();
        while (kills < Kills || driver.Busy > 0)
        {
            for (int slot = 0; kills < Kills && slot < under.Length; slot++)
            {
                if (driver.IsFree(slot))
                {
                    int block;
                    do
                    {
                        block = random.Next(Blocks);
                    }
                    while (Enumerable.Range(0, under.Length).Any(other => !driver.IsFree(other) && under[other].Block == block));
                    bool isWrite = random.Next(2) == 0;
                    under[slot] = (block, isWrite);
                    if (isWrite)
                    {
                        written[block] = ++generation;
                        MemoryMarshal.Cast<byte, uint>(driver.Data(slot)).Fill(generation);
                    }
                    else
                    {
                        driver.Data(slot).Fill(0xee);
                    }

                    driver.Submit(slot, isWrite, (ulong)block);
                }
            }

            if (kills < Kills && sinceKill.ElapsedMilliseconds > 60 && rig.Device.Counters.Restarts == kills)
            {
                rig.Kill();
                kills++;
                sinceKill.Restart();
            }

            foreach (int slot in driver.Collect())
            {
                if (!under[slot].IsWrite)
                {
                    Assert.False(MemoryMarshal.Cast<byte, uint>(driver.Data(slot)).ContainsAnyExcept(written[under[slot].Block]), "a block holds something else");
                }
            }

            Assert.True(life.Elapsed < TimeSpan.FromSeconds(60));
        }

        Assert.Equal(0, rig.NeedsReset);
        Wait.Until(() => rig.Device.Counters.Restarts == Kills);
    }
}
