using Paravane.Backends.Block.Spec;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Block.Tests;

/// <summary>What a driver chose by the writeback byte, in the record of requests in flight. One body for both ring formats.</summary>
public abstract class CacheRecordTests<TDriver>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int Sectors = 32, Queues = 2, QueueSize = 64;
    private const ulong On = 1, Off = 2;

    private static RingFormat Format => typeof(TDriver) == typeof(PackedDriver) ? RingFormat.Packed : RingFormat.Split;

    [Fact]
    public void A_successor_goes_on_with_the_cache_as_the_driver_left_it()
    {
        using MemFd file = NewRecord();
        using InflightRecord first = Map(file), second = Map(file), third = Map(file);
        var disk = new FakeDisk(Sectors * 512, queues: true);
        using BlockDevice dead = Device(disk), device = Device(disk), last = Device(disk);
        using var ram = new GuestRam();
        using DiskRig<TDriver> rig = Rig(dead, ram, first);
        Assert.Equal(BlkStatus.Ok, rig.Write(0, Data(1)).Status);
        Set(dead, 0);

        rig.Die(device, second);
        Assert.Equal(0, Writeback(device));
        Assert.Equal(BlkStatus.Ok, rig.Write(1, Data(2)).Status);
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal([.. Data(1), .. Data(2)], disk.Crash()[..1024]);
        }

        Set(device, 1);
        rig.Die(last, third);
        Assert.Equal(1, Writeback(last));
    }

    [Fact]
    public void A_choice_that_the_driver_did_not_make_is_the_successors_own()
    {
        using MemFd file = NewRecord();
        using InflightRecord record = Map(file);
        using BlockDevice dead = Device(), device = Device();
        using var ram = new GuestRam();
        using DiskRig<TDriver> rig = Rig(dead, ram, record);
        rig.Die(device, record);
        Assert.Equal(1, Writeback(device));
        Assert.Equal(0UL, record.ReadWord(Format));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void What_the_front_end_says_before_the_queues_start_is_newer_than_the_record(byte writeback)
    {
        using MemFd file = NewRecord();
        using InflightRecord record = Map(file);
        record.WriteWord(Format, writeback == 0 ? On : Off);
        using BlockDevice device = Device(), successor = Device();
        using var ram = new GuestRam();
        Set(device, writeback);
        using DiskRig<TDriver> rig = Rig(device, ram, record);
        Assert.Equal(writeback, Writeback(device));
        rig.Die(successor, record);
        Assert.Equal(writeback, Writeback(successor));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(On, 1)]
    public void A_paused_device_leaves_its_choice_in_another_record_that_has_none(ulong word, byte writeback)
    {
        using MemFd file = NewRecord(), other = NewRecord();
        using InflightRecord record = Map(file), next = Map(other);
        next.WriteWord(Format, word);
        using BlockDevice device = Device(), successor = Device();
        using var ram = new GuestRam();
        using (Rig(device, ram, record))
        {
            Set(device, 0);
        }

        using DiskRig<TDriver> rig = Rig(device, ram, next);
        Assert.Equal(writeback, Writeback(device));
        rig.Die(successor, next);
        Assert.Equal(writeback, Writeback(successor));
    }

    [Fact]
    public void After_a_reset_the_same_record_says_nothing_and_the_cache_is_as_negotiated()
    {
        using MemFd file = NewRecord();
        using InflightRecord record = Map(file);
        using BlockDevice device = Device(), successor = Device();
        using var ram = new GuestRam();
        using (Rig(device, ram, record))
        {
            Set(device, 0);
        }

        record.Forget(); // as the session does it for RESET_DEVICE
        device.Reset();
        using DiskRig<TDriver> rig = Rig(device, ram, record);
        Assert.Equal(1, Writeback(device));
        rig.Die(successor, record);
        Assert.Equal(1, Writeback(successor));
    }

    [Fact]
    public void The_record_says_that_the_cache_is_off_only_when_all_that_was_written_before_is_durable()
    {
        using MemFd file = NewRecord();
        using InflightRecord record = Map(file);
        var disk = new FakeDisk(Sectors * 512, queues: true);
        using BlockDevice device = Device(disk);
        using var ram = new GuestRam();
        using DiskRig<TDriver> rig = Rig(device, ram, record);
        var words = new List<ulong>();
        disk.Fault = _ =>
        {
            words.Add(record.ReadWord(Format));
            return null;
        };
        Set(device, 0);
        Assert.Equal([0UL], words);
        Assert.Equal(Off, record.ReadWord(Format));
    }

    [Fact]
    public void The_record_is_left_alone_once_the_last_queue_has_stopped()
    {
        using MemFd file = NewRecord();
        using InflightRecord record = Map(file), look = Map(file);
        using BlockDevice device = Device();
        using var ram = new GuestRam();
        using (Rig(device, ram, record))
        {
            using (Rig(device, ram, record, index: 1))
            {
            }

            Set(device, 0);
            Assert.Equal(Off, look.ReadWord(Format));
        }

        record.Dispose();
        Set(device, 1);
        Assert.Equal(Off, look.ReadWord(Format));
    }

    [Fact]
    public void A_record_without_room_for_the_choice_serves_the_requests_alone()
    {
        ulong bytes = InflightRecord.BytesNeeded(Format, Queues, QueueSize);
        using MemFd file = MemFd.Create("inflight-test", bytes);
        using InflightRecord record = InflightRecord.Map(file, 0, bytes, Queues, QueueSize);
        using BlockDevice dead = Device(), device = Device();
        using var ram = new GuestRam();
        using DiskRig<TDriver> rig = Rig(dead, ram, record);
        Set(dead, 0);
        Assert.Equal(0, Writeback(dead));
        rig.Die(device, record);
        Assert.Equal(1, Writeback(device));
    }

    [Theory]
    [InlineData(3, 0)]
    [InlineData(0x1_0000_0002, 0)]
    [InlineData(ulong.MaxValue, 0)]
    [InlineData(Off, BlkFeatures.ConfigWce)]
    public void I2_a_cache_that_no_driver_can_have_chosen_is_not_taken_from_a_record(ulong word, ulong declined)
    {
        using MemFd file = NewRecord();
        using InflightRecord record = Map(file);
        record.WriteWord(Format, word);
        using BlockDevice device = Device();
        using var ram = new GuestRam();
        using DiskRig<TDriver> rig = Rig(device, ram, record, declined: declined);
        Assert.Equal(1, Writeback(device));
        Assert.Equal(0UL, record.ReadWord(Format)); // nor handed on
    }

    private static MemFd NewRecord() => InflightRecord.Create(Format, Queues, QueueSize);

    private static InflightRecord Map(MemFd file) => InflightRecord.Map(file, 0, file.LengthBytes, Queues, QueueSize);

    private static BlockDevice Device(FakeDisk? disk = null) =>
        new(disk?.Store() ?? (Store)new NullStore(Sectors * 512), new BlockDeviceOptions { QueueCount = Queues });

    private static DiskRig<TDriver> Rig(BlockDevice device, GuestRam ram, InflightRecord record, int index = 0, ulong declined = 0) =>
        new(device, declined, QueueSize, 0, ram, index, record);

    private static byte[] Data(byte value) => [.. Enumerable.Repeat(value, 512)];

    private static void Set(BlockDevice device, byte writeback) =>
        Assert.Null(device.TryWriteConfig(BlkConfig.WritebackOffset, [writeback], restoring: false));

    private static byte Writeback(BlockDevice device)
    {
        byte[] value = new byte[1];
        device.ReadConfig(BlkConfig.WritebackOffset, value);
        return value[0];
    }
}

/// <summary>Over split rings.</summary>
public sealed class SplitCacheRecordTests : CacheRecordTests<SplitDriver>;

/// <summary>Over packed rings.</summary>
public sealed class PackedCacheRecordTests : CacheRecordTests<PackedDriver>;
