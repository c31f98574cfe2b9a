using Paravane.Backends.Block.Spec;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Block.Tests;

/// <summary>Errors, interruptions, short transfers and stalls of the medium. One body for both ring formats.</summary>
public abstract class FaultTests<TDriver>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int DiskBytes = 64 << 10;

    private static byte[] WriteRequest(ulong sector, byte[] data) => [.. DiskRig<TDriver>.Header(BlkRequestType.Out, sector), .. data];

    private static byte[] Pattern(int lengthBytes)
    {
        var data = new byte[lengthBytes];
        new Random(lengthBytes).NextBytes(data);
        return data;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B6_a_transfer_cut_short_anywhere_goes_on_and_moves_each_byte_once(bool queues)
    {
        int[] cuts = [16, 1, 511, 300, 212, 512, 1000, 24, 1536];
        byte[] data = Pattern(4096);
        for (int first = 2; first <= data.Length; first += first < 1030 ? 13 : 511)
        {
            var disk = new FakeDisk(DiskBytes, queues, first);
            using var rig = new DiskRig<TDriver>(disk.Store());
            int turn = 0;

            // Each operation: interrupted once, then short, then what comes.
            disk.Fault = _ => (turn++ % 3) switch { 0 => -Errno.EINTR, 1 => first, _ => null };
            Answer write = rig.Do(WriteRequest(3, data), 1, cuts);
            Assert.Equal((BlkStatus.Ok, 1u), (write.Status, write.UsedBytes));
            Answer read = rig.Do(DiskRig<TDriver>.Header(BlkRequestType.In, 3), 4097, writeCuts: [7, 1, 504, 600, 1024, 1960, 1]);
            Assert.Equal((BlkStatus.Ok, 4097u), (read.Status, read.UsedBytes));
            Assert.Equal(data, read.Data);
            int[] once = [.. new int[1536], .. Enumerable.Repeat(1, 4096), .. new int[DiskBytes - 4096 - 1536]];
            Assert.True(once.AsSpan().SequenceEqual(disk.Writes), $"first {first}");
            Assert.True(once.AsSpan().SequenceEqual(disk.Reads), $"first {first}");
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B6_an_error_ends_the_request_with_its_status_and_an_honest_used_length(bool queues)
    {
        foreach ((int errno, BlkStatus wanted) in new[]
        {
            (Errno.EIO, BlkStatus.IoError), (Errno.ENOSPC, BlkStatus.IoError), (Errno.EOPNOTSUPP, BlkStatus.Unsupported), (Errno.EINVAL, BlkStatus.IoError),
            (Errno.EBADF, BlkStatus.IoError), (Errno.EFAULT, BlkStatus.IoError),
        })
        {
            var disk = new FakeDisk(DiskBytes, queues);
            using var rig = new DiskRig<TDriver>(disk.Store());
            int operations = 0;

            // The first part of each transfer succeeds, the next one fails; attempts that may not wait just say so.
            disk.Fault = operation => operation.NoWait ? -Errno.EAGAIN : operations++ % 2 == 0 ? 1024 : -errno;
            Assert.Equal((wanted, 1u), (rig.Do(WriteRequest(0, Pattern(4096)), 1) is var write ? write.Status : default, write.UsedBytes));
            Answer read = rig.Read(0, 4096);
            Assert.Equal((wanted, 1025u), (read.Status, read.UsedBytes));
            Assert.Equal(Pattern(4096)[..1024], read.Data[..1024]);
            Assert.All(read.Data[1024..], value => Assert.Equal(DiskRig<TDriver>.Stale, value));
            disk.Fault = _ => null;
            Assert.Equal(BlkStatus.Ok, rig.Read(0, 4096).Status);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B6_a_bounced_transfer_cut_short_moves_each_byte_once(bool queues)
    {
        byte[] data = Pattern(8192);
        for (int first = 512; first <= 4096; first += 512)
        {
            var disk = new FakeDisk(DiskBytes, queues, first);
            using var rig = new DiskRig<TDriver>(disk.Store(alignment: 512));
            rig.Ram.Allocate(3, 1);
            int turn = 0;
            disk.Fault = _ => (turn++ % 3) switch { 0 => -Errno.EINTR, 1 => first, _ => null };
            Assert.Equal(BlkStatus.Ok, rig.Do(WriteRequest(0, data), 1, [16, 100, 3000, 5092]).Status);
            Answer read = rig.Do(DiskRig<TDriver>.Header(BlkRequestType.In, 0), 8193, writeCuts: [512, 3000, 4681]);
            Assert.Equal((BlkStatus.Ok, 8193u), (read.Status, read.UsedBytes));
            Assert.Equal(data, read.Data);
            Assert.All(disk.Writes[..8192], count => Assert.Equal(1, count));
            Assert.All(disk.Reads[..8192], count => Assert.Equal(1, count));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Zeroes_are_written_where_the_file_system_cannot_make_them(bool queues)
    {
        var disk = new FakeDisk(4 << 20, queues) { CannotAllocate = true };
        Array.Fill(disk.Cache, (byte)0xee);
        using var rig = new DiskRig<TDriver>(disk.Store());
        int turn = 0;
        disk.Fault = operation => operation.Kind == FakeKind.Write && turn++ % 2 == 0 ? 4096 : null;
        Assert.Equal(BlkStatus.Ok, rig.WriteZeroes(new BlkSegment(1, 5000, 0), new BlkSegment(0, 0, 0), new BlkSegment(6000, 8, BlkSegment.UnmapFlag)).Status);
        byte[] content = [.. Enumerable.Repeat((byte)0xee, disk.Cache.Length)];
        var writes = new int[content.Length];
        foreach ((int sector, int count) in new[] { (1, 5000), (6000, 8) })
        {
            content.AsSpan(sector * 512, count * 512).Clear();
            writes.AsSpan(sector * 512, count * 512).Fill(1);
        }

        Assert.True(content.AsSpan().SequenceEqual(disk.Cache));
        Assert.True(writes.AsSpan().SequenceEqual(disk.Writes));

        // A discard is a hint: nothing is written for it.
        Assert.Equal(BlkStatus.Ok, rig.Discard(new BlkSegment(7000, 8, 0)).Status);
        Assert.Equal(0xee, disk.Cache[7000 * 512]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B9_after_one_failed_flush_all_later_ones_fail_on_every_queue(bool queues)
    {
        var disk = new FakeDisk(DiskBytes, queues);
        using var device = new BlockDevice(disk.Store(), new BlockDeviceOptions { QueueCount = 2 });
        using var ram = new GuestRam();
        using var first = new DiskRig<TDriver>(device, 0, 64, 0, ram);
        using var second = new DiskRig<TDriver>(device, 0, 64, 0, ram, 1);
        Assert.Equal(BlkStatus.Ok, first.Flush().Status);
        bool failing = true;
        disk.Fault = operation => operation.Kind == FakeKind.Sync && failing ? -Errno.EIO : null;
        Assert.Equal(BlkStatus.IoError, first.Flush().Status);
        failing = false;
        Assert.Equal(BlkStatus.IoError, first.Flush().Status);
        Assert.Equal(BlkStatus.IoError, second.Flush().Status);
        Assert.Equal(BlkStatus.Ok, second.Write(0, new byte[512]).Status);
        Assert.Equal(BlkStatus.Ok, second.Read(0, 512).Status);
        Assert.Equal(BlkStatus.IoError, second.Flush().Status);
    }

    [Fact]
    public void B9_a_failed_durable_write_latches_too_since_it_may_have_taken_the_error_of_an_earlier_one()
    {
        var disk = new FakeDisk(DiskBytes, queues: true);
        using var rig = new DiskRig<TDriver>(disk.Store());
        Assert.Null(rig.Device.TryWriteConfig(BlkConfig.WritebackOffset, [0], restoring: false));
        bool failing = true;
        disk.Fault = operation => operation.Kind == FakeKind.Write && failing ? -Errno.EIO : null;
        Assert.Equal(BlkStatus.IoError, rig.Write(0, new byte[512]).Status);
        failing = false;
        Assert.Equal(BlkStatus.IoError, rig.Flush().Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void R13_a_request_in_the_place_of_one_that_is_not_answered_yet_breaks_the_queue(bool recorded)
    {
        const int Size = 1;
        RingFormat format = typeof(TDriver) == typeof(PackedDriver) ? RingFormat.Packed : RingFormat.Split;
        for (int seed = 1; seed < 9; seed++)
        {
            using MemFd file = InflightRecord.Create(format, 1, Size);
            using InflightRecord? record = recorded ? InflightRecord.Map(file, 0, file.LengthBytes, 1, Size) : null;
            var disk = new FakeDisk(DiskBytes, queues: true, seed) { Hangs = true, Fault = operation => operation.NoWait ? -Errno.EAGAIN : null };
            using var rig = new DiskRig<TDriver>(disk.Store(), size: Size, indirectEntries: 4, record: record);
            rig.Send(DiskRig<TDriver>.Header(BlkRequestType.In, 0), 513, indirect: true);
            rig.Loop.RunBatch();
            Assert.Equal(1, rig.Loop.Queue.InFlight);

            // For most seeds one and the same turn finds the first request done and the second offered.
            rig.Forget(format == RingFormat.Packed ? QueueState.Packed(0, false, 0, false) : QueueState.Split(Size));
            rig.Send(DiskRig<TDriver>.Header(BlkRequestType.GetId, 0), 21, indirect: true);
            disk.Hangs = false;
            for (int turn = 0; turn < 100; turn++)
            {
                rig.Loop.RunBatch();
            }

            Assert.Equal(ChainFault.TooManyInFlight, rig.Loop.Queue.Fault);
            Assert.Equal((0, 1), (rig.Loop.Queue.InFlight, rig.Loop.Queue.Completed));
        }
    }

    [Fact]
    public void B11_a_disk_that_hangs_holds_up_no_other_queue_of_the_same_thread()
    {
        var slow = new FakeDisk(DiskBytes, queues: true) { Hangs = true };
        var quick = new FakeDisk(DiskBytes, queues: true);
        slow.Fault = quick.Fault = operation => operation.NoWait ? -Errno.EAGAIN : null;
        using var hanging = new DiskRig<TDriver>(slow.Store());
        using var other = new DiskRig<TDriver>(quick.Store());
        var cookies = new List<ushort>();
        for (int i = 0; i < 40; i++)
        {
            cookies.Add(hanging.Send(DiskRig<TDriver>.Header(BlkRequestType.In, 0), 513));
        }

        cookies.Add(hanging.Send(DiskRig<TDriver>.Header(BlkRequestType.Flush, 0), 1));
        for (int i = 0; i < 200; i++)
        {
            hanging.Turn();
            Assert.Equal(BlkStatus.Ok, other.Read((ulong)i % 64, 512).Status);
        }

        Assert.Equal(41, hanging.Loop.Queue.InFlight);
        Assert.Equal(41, hanging.InFlight);
        slow.Hangs = false;
        foreach (ushort cookie in cookies)
        {
            Assert.Equal(BlkStatus.Ok, hanging.Wait(cookie).Status);
        }

        Assert.Equal(0, hanging.Loop.Queue.InFlight);
    }

    [Fact]
    public void A_disabled_queue_takes_nothing_and_finishes_what_it_has()
    {
        var disk = new FakeDisk(DiskBytes, queues: true) { Hangs = true };
        disk.Fault = operation => operation.NoWait ? -Errno.EAGAIN : null;
        using var rig = new DiskRig<TDriver>(disk.Store());
        ushort taken = rig.Send(DiskRig<TDriver>.Header(BlkRequestType.In, 0), 513);
        rig.Turn();
        rig.Loop.Queue.Enabled = false;
        ushort left = rig.Send(DiskRig<TDriver>.Header(BlkRequestType.In, 1), 513);
        disk.Hangs = false;
        Assert.Equal(BlkStatus.Ok, rig.Wait(taken).Status);
        rig.Turn();
        Assert.Equal(0, rig.Loop.Queue.InFlight);
        Assert.False(rig.TryTake(left, out _));
        rig.Loop.Queue.Enabled = true;
        Assert.Equal(BlkStatus.Ok, rig.Wait(left).Status);
    }
}

/// <summary>Over split rings.</summary>
public sealed class SplitFaultTests : FaultTests<SplitDriver>;

/// <summary>Over packed rings.</summary>
public sealed class PackedFaultTests : FaultTests<PackedDriver>;
