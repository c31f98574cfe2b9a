using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Tests.Virtio;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;
using Paravane.Peers;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>Our devices in front of back-ends that nobody here wrote: the disk of qemu-storage-daemon and the vhost port of DPDK's testpmd.</summary>
public sealed class ForeignBackEndTests
{
    private const ulong Base = VirtioFeatures.Version1 | VirtioFeatures.EventIdx;
    private const ulong NetMq = 1UL << 22, NetControlQueue = 1UL << 17, NetMergeable = 1UL << 15, BlockMq = 1UL << 12;
    private const int Blocks = 512, Rounds = 200, FrameBytes = 256;
    private static readonly TimeSpan s_lifetime = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_disk_of_qemu_storage_daemon_keeps_what_was_written_through_each_queue(int queues)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("s"), image = NewImage(directory);
        using ChildProcess daemon = StorageDaemon.Start(socket, StorageDaemon.FileDisk(image, "threads"), queues, s_lifetime);
        byte[] expected = new byte[Blocks * DiskDriver<SplitDriver>.BlockBytes];
        ulong features = Base | (queues > 1 ? BlockMq : 0);
        using (var rig = new WorkerRig(VhostUserOptions.BlockDevice, new SocketBackEnd(socket)))
        {
            Assert.Equal((ulong)Blocks * 8, BinaryPrimitives.ReadUInt64LittleEndian(ReadConfig(rig, 8)));
            Assert.Equal(queues, rig.Device.QueueCount);
            using var first = new DiskDriver<SplitDriver>(rig, 0, features);
            using var second = new DiskDriver<SplitDriver>(rig, 1, features);
            rig.Device.Start(features, queues == 1 ? [first.Setup] : [first.Setup, second.Setup]);
            WriteAndRead(first, queues == 1 ? first : second, expected, seed: 5);
            Assert.Equal(0, rig.NeedsReset);
        }

        Assert.Equal(0, daemon.Stop());
        Assert.True(expected.AsSpan().SequenceEqual(File.ReadAllBytes(image)), "the image holds something else");
    }

    [Fact]
    public void A_disk_goes_on_when_qemu_storage_daemon_was_killed_and_comes_back()
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("s"), image = NewImage(directory);
        byte[] expected = new byte[Blocks * DiskDriver<SplitDriver>.BlockBytes];
        ChildProcess daemon = StorageDaemon.Start(socket, StorageDaemon.FileDisk(image, "threads"), 1, s_lifetime);
        try
        {
            using var rig = new WorkerRig(VhostUserOptions.BlockDevice, new SocketBackEnd(socket));
            using var driver = new DiskDriver<SplitDriver>(rig, 0, Base);
            rig.Device.Start(Base, [driver.Setup]);
            for (int life = 0; life < 3; life++)
            {
                WriteAndRead(driver, driver, expected, seed: life);

                // Nothing is under way: this back-end keeps no record of what is.
                daemon.Signal(9);
                Wait.Until(() => rig.Device.Counters.Losses > life);
                daemon.Dispose();
                File.Delete(socket);
                daemon = StorageDaemon.Start(socket, StorageDaemon.FileDisk(image, "threads"), 1, s_lifetime);
                Wait.Until(() => rig.Device.Counters.Restarts == life + 1);
            }

            WriteAndRead(driver, driver, expected, seed: 99);
            Assert.Equal(0, rig.NeedsReset);
        }
        finally
        {
            daemon.Dispose();
        }
    }

    [Theory]
    [InlineData(false, 1)]
    [InlineData(false, 2)]
    [InlineData(true, 1)]
    [InlineData(true, 2)]
    public void Every_frame_comes_back_from_the_vhost_port_of_testpmd(bool packed, int pairs)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("s");
        using Testpmd peer = NetPeer.StartVhost(socket, pairs, lifetime: s_lifetime);
        using var rig = new WorkerRig(VhostUserOptions.NetDevice, new SocketBackEnd(socket));
        ulong features = Base | NetMergeable | (packed ? VirtioFeatures.RingPacked : 0);
        Assert.Equal(features, features & rig.Device.Features);

        // A back-end without a control queue cannot be told of a second pair: the guest is shown one.
        Assert.Equal(2, rig.Device.QueueCount);
        Assert.Equal(0UL, rig.Device.Features & (NetMq | NetControlQueue));
        if (packed)
        {
            Loop<PackedDriver>(rig, features);
        }
        else
        {
            Loop<SplitDriver>(rig, features);
        }

        Assert.Equal(0, rig.NeedsReset);
    }

    [Fact]
    public void Frames_come_back_again_when_testpmd_was_killed_and_comes_back()
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("s");
        Testpmd peer = NetPeer.StartVhost(socket, lifetime: s_lifetime);
        try
        {
            using var rig = new WorkerRig(VhostUserOptions.NetDevice, new SocketBackEnd(socket));
            const ulong Features = Base | NetMergeable;
            using var driver = new NetDriver<SplitDriver>(rig, Features);
            rig.Device.Start(Features, [.. driver.Setups]);
            driver.Begin();
            SendAndCompare(driver, 1);
            peer.Process.Signal(9);
            Wait.Until(() => rig.Device.Counters.Losses > 0);
            peer.Dispose();
            File.Delete(socket);
            peer = NetPeer.StartVhost(socket, lifetime: s_lifetime);
            Wait.Until(() => rig.Device.Counters.Restarts == 1);
            SendAndCompare(driver, 2);
            Assert.Equal(0, rig.NeedsReset);
        }
        finally
        {
            peer.Dispose();
        }
    }

    private static string NewImage(TemporaryDirectory directory)
    {
        string image = directory.File("image");
        using FileStream file = File.Create(image);
        file.SetLength(Blocks * DiskDriver<SplitDriver>.BlockBytes);
        return image;
    }

    private static byte[] ReadConfig(WorkerRig rig, int lengthBytes)
    {
        byte[] config = new byte[lengthBytes];
        rig.Device.ReadConfig(0, config);
        return config;
    }

    /// <summary>Writes random blocks through one queue, reads random ones through the other, and compares.</summary>
    private static void WriteAndRead(DiskDriver<SplitDriver> writer, DiskDriver<SplitDriver> reader, byte[] expected, int seed)
    {
        const int BlockBytes = DiskDriver<SplitDriver>.BlockBytes;
        var random = new Random(seed);
        for (int i = 0; i < Rounds; i++)
        {
            int[] blocks = [.. Enumerable.Range(0, DiskDriver<SplitDriver>.Depth).Select(_ => random.Next(Blocks)).Distinct()];
            for (int slot = 0; slot < blocks.Length; slot++)
            {
                random.NextBytes(writer.Data(slot));
                writer.Data(slot).CopyTo(expected.AsSpan(blocks[slot] * BlockBytes));
                writer.Submit(slot, write: true, (ulong)blocks[slot]);
            }

            Complete(writer);
            int[] sources = [.. blocks.Select(_ => random.Next(Blocks))];
            for (int slot = 0; slot < sources.Length; slot++)
            {
                reader.Data(slot).Fill(0xee);
                reader.Submit(slot, write: false, (ulong)sources[slot]);
            }

            Complete(reader);
            for (int slot = 0; slot < sources.Length; slot++)
            {
                Assert.True(reader.Data(slot).SequenceEqual(expected.AsSpan(sources[slot] * BlockBytes, BlockBytes)), "a block holds something else");
            }
        }
    }

    private static void Complete(DiskDriver<SplitDriver> driver)
    {
        while (driver.Busy > 0)
        {
            _ = driver.Collect();
        }
    }

    private static void Loop<TRing>(WorkerRig rig, ulong features)
        where TRing : struct, IDriverRing<TRing>
    {
        using var driver = new NetDriver<TRing>(rig, features);
        rig.Device.Start(features, [.. driver.Setups]);
        driver.Begin();
        SendAndCompare(driver, series: 1);
    }

    /// <summary>Sends frames that begin with a number and compares what comes back, in order and complete.</summary>
    private static void SendAndCompare<TRing>(NetDriver<TRing> driver, int series)
        where TRing : struct, IDriverRing<TRing>
    {
        // The port drops what arrives before it has seen its queues ready: the first frame is sent until it comes back, the rest once.
        byte[] first = Frame(series, 0);
        Wait.Until(() => driver.TrySend(first) && driver.Receive(TimeSpan.FromMilliseconds(100)) is not null);
        while (driver.Receive(TimeSpan.FromMilliseconds(200)) is { } again)
        {
            Assert.True(first.AsSpan().SequenceEqual(again));
        }

        for (int burst = 0; burst < Rounds; burst++)
        {
            for (int i = 0; i < NetDriver<TRing>.Depth / 2; i++)
            {
                byte[] frame = Frame(series, (burst * NetDriver<TRing>.Depth) + i + 1);
                Wait.Until(() => driver.TrySend(frame));
            }

            for (int i = 0; i < NetDriver<TRing>.Depth / 2; i++)
            {
                byte[] expected = Frame(series, (burst * NetDriver<TRing>.Depth) + i + 1);
                byte[]? frame = driver.Receive(Wait.Limit);
                Assert.True(frame is not null, $"frame {i} of burst {burst} did not come back");
                Assert.True(expected.AsSpan().SequenceEqual(frame), $"frame {i} of burst {burst} came back as another");
            }
        }
    }

    private static byte[] Frame(int series, int number)
    {
        byte[] frame = new byte[FrameBytes];
        new Random((series << 20) + number).NextBytes(frame);
        frame[0] &= 0xFE; // no multicast
        MemoryMarshal.Write(frame.AsSpan(14), number);
        return frame;
    }
}
