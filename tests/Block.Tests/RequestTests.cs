using System.Runtime.InteropServices;
using Paravane.Backends.Block.Spec;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;

namespace Paravane.Backends.Block.Tests;

/// <summary>Requests as the driver sees them, one body for both ring formats, over a RAM disk.</summary>
public abstract class RequestTests<TDriver>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int DiskBytes = 1 << 20;
    private const ulong DiskSectors = DiskBytes / 512;

    private static byte[] Pattern(int lengthBytes, int seed)
    {
        var bytes = new byte[lengthBytes];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static DiskRig<TDriver> Ram(BlockDeviceOptions? options = null, ulong declined = 0, int indirectEntries = 0) =>
        new(new RamStore(DiskBytes), options, declined, indirectEntries: indirectEntries);

    [Fact]
    public void What_was_written_is_read_back_with_exact_used_lengths()
    {
        using DiskRig<TDriver> rig = Ram();
        byte[] data = Pattern(8192, 1);
        Answer write = rig.Write(3, data);
        Assert.Equal((BlkStatus.Ok, 1u), (write.Status, write.UsedBytes));
        Answer read = rig.Read(3, 8192);
        Assert.Equal((BlkStatus.Ok, 8193u), (read.Status, read.UsedBytes));
        Assert.Equal(data, read.Data);
        Assert.All(rig.Read(19, 512).Data, value => Assert.Equal(0, value));
    }

    [Fact]
    public void B1_header_data_and_status_may_be_cut_anywhere()
    {
        using DiskRig<TDriver> rig = Ram();
        byte[] data = Pattern(1024, 2);
        byte[] request = [.. DiskRig<TDriver>.Header(BlkRequestType.Out, 5), .. data];
        byte[] read = DiskRig<TDriver>.Header(BlkRequestType.In, 5);
        int[][] writeShapes = [[1040], [16, 1024], [8, 8, 1024], [1, 15, 1024], [15, 1 + 1024], [4, 4, 4, 4, 512, 512], [16, 1, 1023], [16 + 511, 513]];
        foreach (int[] shape in writeShapes)
        {
            Assert.Equal(BlkStatus.Ok, rig.Do(request, 1, shape).Status);
        }

        int[][] readShapes = [[1025], [1024, 1], [1, 1024], [512, 513], [511, 513, 1], [.. Enumerable.Repeat(25, 41)]];
        foreach (int[] shape in readShapes)
        {
            foreach (int[] header in new int[][] { [16], [1, 15], [15, 1], [4, 12], [.. Enumerable.Repeat(1, 16)] })
            {
                Answer answer = rig.Do(read, 1025, header, shape);
                Assert.Equal((BlkStatus.Ok, 1025u), (answer.Status, answer.UsedBytes));
                Assert.Equal(data, answer.Data);
            }
        }
    }

    [Fact]
    public void B1_a_request_without_status_byte_breaks_the_ring_after_its_chain_came_back()
    {
        using DiskRig<TDriver> rig = Ram();
        Answer before = rig.Wait(rig.Send(DiskRig<TDriver>.Header(BlkRequestType.Flush, 0), 1));
        Assert.Equal(BlkStatus.Ok, before.Status);
        ushort lone = rig.Send(DiskRig<TDriver>.Header(BlkRequestType.In, 0), 0);
        rig.Turn();
        Assert.True(rig.TryTake(lone, out Answer? answer));
        Assert.Equal(0u, answer!.UsedBytes);
        Assert.Equal(ChainFault.NoRoomForStatus, rig.Loop.Queue.Fault);
        ushort later = rig.Send(DiskRig<TDriver>.Header(BlkRequestType.Flush, 0), 1);
        rig.Turn();
        Assert.False(rig.TryTake(later, out _));
        Assert.Equal(0, rig.Loop.Queue.InFlight);
    }

    [Fact]
    public void B1_a_short_header_gets_IOERR()
    {
        using DiskRig<TDriver> rig = Ram();
        for (int length = 0; length < 16; length++)
        {
            Answer answer = rig.Do(new byte[length], 513);
            Assert.Equal((BlkStatus.IoError, 1u), (answer.Status, answer.UsedBytes));
            Assert.All(answer.Data, value => Assert.Equal(DiskRig<TDriver>.Stale, value));
        }
    }

    [Fact]
    public void B2_every_type_and_length_gets_its_status()
    {
        using DiskRig<TDriver> rig = Ram();
        uint[] types = [.. Enumerable.Range(0, 64).Select(value => (uint)value), 0x1000, 0x7fff_ffff];
        foreach (uint type in types)
        {
            foreach (int length in new[] { 0, 1, 16, 20, 511, 512, 513, 4096 })
            {
                byte[] request = [.. DiskRig<TDriver>.Header((BlkRequestType)type, 1), .. new byte[(BlkRequestType)type == BlkRequestType.In ? 0 : length]];
                BlkStatus status = rig.Do(request, (BlkRequestType)type == BlkRequestType.In ? length + 1 : 1).Status;
                BlkStatus wanted = (BlkRequestType)type switch
                {
                    BlkRequestType.In or BlkRequestType.Out => length > 0 && length % 512 == 0 ? BlkStatus.Ok : BlkStatus.IoError,
                    BlkRequestType.Flush or BlkRequestType.GetId => BlkStatus.Ok,

                    // All-zero segments ask for nothing at sector 0.
                    BlkRequestType.Discard or BlkRequestType.WriteZeroes => length is > 0 and <= 256 && length % 16 == 0 ? BlkStatus.Ok : BlkStatus.IoError,
                    _ => BlkStatus.Unsupported,
                };
                Assert.True(wanted == status, $"type {type}, {length} bytes: {status}");
            }
        }
    }

    [Fact]
    public void The_barrier_bit_of_old_drivers_is_ignored()
    {
        using DiskRig<TDriver> rig = Ram();
        byte[] data = Pattern(512, 3);
        Assert.Equal(BlkStatus.Ok, rig.Do([.. DiskRig<TDriver>.Header((BlkRequestType)0x8000_0001, 7), .. data], 1).Status);
        Assert.Equal(data, rig.Read(7, 512).Data);
    }

    [Fact]
    public void B3_nothing_outside_the_disk_is_read_or_written()
    {
        using DiskRig<TDriver> rig = Ram();
        foreach ((ulong sector, int sectors, bool inside) in new (ulong, int, bool)[]
        {
            (0, 8, true), (DiskSectors - 1, 1, true), (DiskSectors - 1, 2, false), (DiskSectors, 1, false), (DiskSectors + 1, 1, false),
            (DiskSectors - 8, 8, true), (DiskSectors - 8, 9, false), (ulong.MaxValue, 1, false), (ulong.MaxValue >> 9, 1, false),
            ((ulong.MaxValue >> 9) + 1, 1, false), (1UL << 55, 1, false), (1UL << 63, 8, false), (ulong.MaxValue - 7, 8, false),
        })
        {
            BlkStatus wanted = inside ? BlkStatus.Ok : BlkStatus.IoError;
            Answer read = rig.Read(sector, sectors * 512);
            Assert.Equal(wanted, read.Status);
            Assert.Equal(inside ? (uint)(sectors * 512) + 1 : 1u, read.UsedBytes);
            if (!inside)
            {
                Assert.All(read.Data, value => Assert.Equal(DiskRig<TDriver>.Stale, value));
            }

            Assert.Equal(wanted, rig.Write(sector, new byte[sectors * 512]).Status);
            Assert.Equal(wanted, rig.Discard(new BlkSegment(sector, (uint)sectors, 0)).Status);
            Assert.Equal(wanted, rig.WriteZeroes(new BlkSegment(sector, (uint)sectors, 0)).Status);
        }
    }

    [Fact]
    public void B4_segments_are_checked_one_by_one_and_all_before_the_first_is_done()
    {
        using DiskRig<TDriver> rig = Ram();
        byte[] data = Pattern(512, 4);
        Assert.Equal(BlkStatus.Ok, rig.Write(0, data).Status);
        BlkSegment good = new(0, 1, 0), outside = new(DiskSectors, 1, 0), flagged = new(8, 1, 2);
        Assert.Equal(BlkStatus.IoError, rig.WriteZeroes(good, outside).Status);
        Assert.Equal(BlkStatus.Unsupported, rig.WriteZeroes(good, flagged).Status);
        Assert.Equal(BlkStatus.IoError, rig.Discard(good, outside).Status);
        Assert.Equal(BlkStatus.Unsupported, rig.Discard(good, new(8, 1, 1)).Status);
        Assert.Equal(BlkStatus.Unsupported, rig.Discard(good, new(8, 1, 0x8000_0000)).Status);
        Assert.Equal(BlkStatus.IoError, rig.Discard(new BlkSegment(0, BlockLimits.MaxDiscardSectors + 1, 0)).Status);
        Assert.Equal(BlkStatus.IoError, rig.WriteZeroes(new BlkSegment(0, BlockLimits.MaxWriteZeroesSectors + 1, 0)).Status);
        Assert.Equal(BlkStatus.IoError, rig.WriteZeroes([.. Enumerable.Repeat(good, BlockLimits.MaxSegments + 1)]).Status);
        Assert.Equal(BlkStatus.IoError, rig.WriteZeroes().Status);
        Assert.Equal(BlkStatus.IoError, rig.Do([.. DiskRig<TDriver>.Header(BlkRequestType.WriteZeroes, 0), .. new byte[17]], 1).Status);
        Assert.Equal(data, rig.Read(0, 512).Data);

        Assert.Equal(BlkStatus.Ok, rig.WriteZeroes([.. Enumerable.Repeat(good, BlockLimits.MaxSegments)]).Status);
        Assert.All(rig.Read(0, 512).Data, value => Assert.Equal(0, value));
    }

    [Fact]
    public void R14_a_request_of_any_length_is_done_in_turns_and_no_other_is_taken_meanwhile()
    {
        const int Mebibyte = 1 << 20, DiskMebibytes = 256;
        using var rig = new DiskRig<TDriver>(new RamStore((ulong)DiskMebibytes * Mebibyte));
        byte[] data = Pattern(4 * Mebibyte, 4);
        ushort write = rig.Send([.. DiskRig<TDriver>.Header(BlkRequestType.Out, 0), .. data], 1);
        Assert.Equal(4, TurnsUntil(write));
        Assert.Equal(data, rig.Read(0, data.Length).Data);
        Assert.True(rig.Loop.TryArm());
        rig.Loop.Disarm();

        BlkSegment[] segments = [.. Enumerable.Range(0, 4).Select(i => new BlkSegment((ulong)i * BlockLimits.MaxWriteZeroesSectors, BlockLimits.MaxWriteZeroesSectors, 0))];
        ushort zero = rig.Send([.. DiskRig<TDriver>.Header(BlkRequestType.WriteZeroes, 0), .. MemoryMarshal.AsBytes<BlkSegment>(segments)], 1);
        Assert.True(rig.Turn());
        ushort late = rig.Send(DiskRig<TDriver>.Header(BlkRequestType.In, 0), 513);
        Assert.True(rig.Turn());
        Assert.False(rig.Loop.TryArm());
        Assert.Equal(DiskMebibytes - 2, TurnsUntil(zero));
        Assert.False(rig.TryTake(late, out _));
        Answer read = rig.Wait(late);
        Assert.Equal((BlkStatus.Ok, 513u), (read.Status, read.UsedBytes));
        Assert.All(read.Data, value => Assert.Equal(0, value));

        int TurnsUntil(ushort cookie)
        {
            for (int turns = 1; ; turns++)
            {
                Assert.True(rig.Turn());
                if (rig.TryTake(cookie, out Answer? answer))
                {
                    Assert.Equal(BlkStatus.Ok, answer!.Status);
                    return turns;
                }
            }
        }
    }

    [Fact]
    public void B4_without_the_features_discard_and_write_zeroes_are_unsupported()
    {
        using DiskRig<TDriver> rig = Ram(declined: BlkFeatures.Discard | BlkFeatures.WriteZeroes | BlkFeatures.Flush);
        Assert.Equal(BlkStatus.Unsupported, rig.Discard(new BlkSegment(0, 1, 0)).Status);
        Assert.Equal(BlkStatus.Unsupported, rig.WriteZeroes(new BlkSegment(0, 1, 0)).Status);
        Assert.Equal(BlkStatus.Unsupported, rig.Flush().Status);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(BlkFeatures.ReadOnly)]
    public void B5_a_read_only_disk_refuses_changes_whatever_was_negotiated(ulong declined)
    {
        using DiskRig<TDriver> rig = Ram(new BlockDeviceOptions { ReadOnly = true }, declined);
        Assert.Equal(BlkStatus.IoError, rig.Write(0, new byte[512]).Status);
        Assert.Equal(BlkStatus.IoError, rig.Discard(new BlkSegment(0, 1, 0)).Status);
        Assert.Equal(BlkStatus.IoError, rig.WriteZeroes(new BlkSegment(0, 1, 0)).Status);
        Assert.Equal(BlkStatus.Ok, rig.Read(0, 512).Status);
        Assert.Equal(BlkStatus.Ok, rig.Flush().Status);
    }

    [Fact]
    public void B10_the_serial_is_padded_with_zeroes_and_never_followed_by_stale_bytes_that_count()
    {
        using DiskRig<TDriver> rig = Ram(new BlockDeviceOptions { Serial = "disk-7" });
        foreach ((int room, uint used) in new[] { (20, 21u), (512, 21u), (6, 7u), (3, 4u), (0, 1u) })
        {
            Answer answer = rig.Do(DiskRig<TDriver>.Header(BlkRequestType.GetId, 0), room + 1);
            Assert.Equal((BlkStatus.Ok, used), (answer.Status, answer.UsedBytes));
            byte[] wanted = [.. "disk-7"u8, .. new byte[14], .. Enumerable.Repeat(DiskRig<TDriver>.Stale, 512)];
            Assert.Equal(wanted[..room], answer.Data);
        }
    }

    [Fact]
    public void B10_a_null_disk_leaves_read_buffers_alone_and_does_not_claim_to_have_filled_them()
    {
        using var rig = new DiskRig<TDriver>(new NullStore(1UL << 40));
        Answer read = rig.Read(1UL << 30, 4096);
        Assert.Equal((BlkStatus.Ok, 1u), (read.Status, read.UsedBytes));
        Assert.All(read.Data, value => Assert.Equal(DiskRig<TDriver>.Stale, value));
        Assert.Equal(BlkStatus.Ok, rig.Write(7, new byte[4096]).Status);
        Assert.Equal(BlkStatus.Ok, rig.Flush().Status);
        Assert.Equal(BlkStatus.Ok, rig.Discard(new BlkSegment(0, 8, 0)).Status);
        Assert.Equal(BlkStatus.Ok, rig.WriteZeroes(new BlkSegment(0, 8, 1)).Status);
        Assert.Equal(BlkStatus.IoError, rig.Read(1UL << 31, 512).Status);
    }

    [Fact]
    public void A_request_of_more_than_1024_pieces_works()
    {
        using DiskRig<TDriver> rig = Ram(indirectEntries: 1024);
        byte[] data = Pattern(512 * 1000, 9);
        int[] pieces = [16, .. Enumerable.Repeat(512, 1000)];
        Assert.Equal(BlkStatus.Ok, rig.Do([.. DiskRig<TDriver>.Header(BlkRequestType.Out, 0), .. data], 1, pieces, indirect: true).Status);
        Assert.Equal(data, rig.Read(0, data.Length).Data);
    }

    [Fact]
    public void Nothing_is_allocated_while_requests_run()
    {
        using var rig = new AllocationRig<TDriver>(new RamStore(DiskBytes));
        rig.Run(2_000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        rig.Run(20_000);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }
}

/// <summary>Over split rings.</summary>
public sealed class SplitRequestTests : RequestTests<SplitDriver>;

/// <summary>Over packed rings.</summary>
public sealed class PackedRequestTests : RequestTests<PackedDriver>;
