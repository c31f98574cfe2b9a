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
    private const ulong Controlled = (1UL << 5) | (1UL << 17) | (1UL << 22) | (1UL << 23); // VIRTIO_NET_F_MAC, _CTRL_VQ, _MQ, _CTRL_MAC_ADDR
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

    [Theory]
    [InlineData(RingFormat.Split)]
    [InlineData(RingFormat.Packed)]
    public void A_NIC_goes_on_with_the_pairs_and_the_address_that_its_driver_chose_through_the_death_of_its_worker(RingFormat format)
    {
        if (format == RingFormat.Split)
        {
            KeepChoice<SplitDriver>(Base | Controlled);
        }
        else
        {
            KeepChoice<PackedDriver>(Base | Controlled | VirtioFeatures.RingPacked);
        }
    }

    [Theory]
    [InlineData(RingFormat.Split)]
    [InlineData(RingFormat.Packed)]
    public void Frames_that_are_sent_while_there_is_no_worker_wait_for_the_next_one(RingFormat format)
    {
        if (format == RingFormat.Split)
        {
            SendIntoTheVoid<SplitDriver>(Base);
        }
        else
        {
            SendIntoTheVoid<PackedDriver>(Base | VirtioFeatures.RingPacked);
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

    /// <summary>Frames on both pairs of a loop, which drops what is sent on a pair that is not in use.</summary>
    private static void KeepChoice<TRing>(ulong features)
        where TRing : struct, IDriverRing<TRing>
    {
        byte[] address = [0x52, 0x54, 0, 0xab, 0xcd, 0xef], own = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        using WorkerRig rig = WorkerRig.Net("--net=loop", "--queue-pairs=2", "--mac=52:54:00:12:34:56");
        using var first = new NetDriver<TRing>(rig, features);
        using var second = new NetDriver<TRing>(rig, features, pair: 1);
        using var control = new ControlDriver<TRing>(rig, features);
        rig.Device.Start(features, [.. first.Setups, .. second.Setups, control.Setup]);
        first.Begin();
        second.Begin();
        Assert.True(second.TrySend(Frame(0)));
        Assert.Null(second.Receive(TimeSpan.FromMilliseconds(200)));
        Assert.Equal(0, control.Send(4, 0, 2, 0)); // VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET
        Assert.Equal(0, control.Send([1, 1, .. address])); // VIRTIO_NET_CTRL_MAC_ADDR_SET
        Wait.Until(() => Address().AsSpan().SequenceEqual(address));
        for (byte life = 1; life <= 4; life++)
        {
            foreach (NetDriver<TRing> pair in (NetDriver<TRing>[])[first, second])
            {
                Assert.True(pair.TrySend(Frame(life)));
                byte[]? frame = pair.Receive(Wait.Limit);
                Assert.True(frame is not null, $"nothing came back on {(pair == first ? "the first" : "the second")} pair in life {life}");
                Assert.Equal(Frame(life), frame);
                Wait.Until(() => pair.IsIdle); // else it would come a second time
            }

            rig.Kill();
            Wait.Until(() => rig.Device.Counters.Restarts == life);
        }

        Thread.Sleep(200); // the configuration is looked at once more when the rings run
        Assert.Equal(address, Address());
        Assert.Equal(1, rig.Device.Counters.ConfigChanges);
        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        Assert.Equal(own, Address());
        Assert.Equal(0, rig.NeedsReset);

        byte[] Address()
        {
            byte[] read = new byte[6];
            rig.Device.ReadConfig(0, read);
            return read;
        }

        static byte[] Frame(byte filling) => [.. Enumerable.Repeat((byte)2, 12), .. Enumerable.Repeat(filling, 52)];
    }

    private static void SendIntoTheVoid<TRing>(ulong features)
        where TRing : struct, IDriverRing<TRing>
    {
        const int Lives = 10;
        using WorkerRig rig = WorkerRig.Net("--net=loop");
        using var driver = new NetDriver<TRing>(rig, features);
        rig.Device.Start(features, [.. driver.Setups]);
        driver.Begin();
        for (int life = 0; life < Lives; life++)
        {
            for (byte i = 0; i < NetDriver<TRing>.Depth / 2; i++)
            {
                Assert.True(driver.TrySend(Frame(life, i)));
            }

            for (byte i = 0; i < NetDriver<TRing>.Depth / 2; i++)
            {
                byte[]? frame = driver.Receive(Wait.Limit);
                Assert.True(frame is not null, $"frame {i} of life {life} did not come back");
                Assert.Equal(Frame(life, i), frame);
            }

            // All of it is back on the transmit ring, too, so that nothing comes a second time.
            Wait.Until(() => driver.IsIdle);
            rig.Kill();
        }

        Assert.Equal(0, rig.NeedsReset);

        static byte[] Frame(int life, byte number) => [.. Enumerable.Repeat((byte)2, 12), .. Enumerable.Repeat((byte)life, 26), .. Enumerable.Repeat(number, 26)];
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
