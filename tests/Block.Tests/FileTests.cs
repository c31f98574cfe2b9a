using CsCheck;
using Paravane.Backends.Block.Spec;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Tests;

/// <summary>Every kind of disk against an oracle, and what only images do. One body for both ring formats.</summary>
public abstract class FileTests<TDriver>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int DiskBytes = 1 << 20;
    private const int DiskSectors = DiskBytes / 512;

    private static Store Open(TempImage image, Medium medium, BlockDeviceOptions? options = null) => FileStore.Open(
        image.Path,
        options ?? new BlockDeviceOptions(),
        new FileAccessMode(medium is Medium.Direct or Medium.DirectPinned, medium is Medium.Pinned or Medium.DirectPinned, medium != Medium.WithoutIoUring),
        sentence => throw new Xunit.Sdk.XunitException(sentence));

    private static TempImage NewImage(Medium medium, int lengthBytes = DiskBytes) => new(lengthBytes, medium == Medium.InMemory);

    [Theory]
    [InlineData(Medium.Cached)]
    [InlineData(Medium.WithoutIoUring)]
    [InlineData(Medium.Direct)]
    [InlineData(Medium.Pinned)]
    [InlineData(Medium.DirectPinned)]
    [InlineData(Medium.InMemory)]
    public void Bytes_go_to_the_image_and_back(Medium medium)
    {
        using TempImage image = NewImage(medium);
        var data = new byte[16384];
        new Random(5).NextBytes(data);
        using (var rig = new DiskRig<TDriver>(Open(image, medium)))
        {
            Assert.Equal(BlkStatus.Ok, rig.Write(9, data).Status);
            Answer read = rig.Read(9, data.Length);
            Assert.Equal((BlkStatus.Ok, (uint)data.Length + 1), (read.Status, read.UsedBytes));
            Assert.Equal(data, read.Data);
            Assert.Equal(BlkStatus.Ok, rig.Flush().Status);
        }

        Assert.Equal(data, image.Bytes().AsSpan(9 * 512, data.Length).ToArray());
    }

    [Theory]
    [InlineData(Medium.Ram)]
    [InlineData(Medium.Cached)]
    [InlineData(Medium.WithoutIoUring)]
    [InlineData(Medium.Direct)]
    [InlineData(Medium.Pinned)]
    [InlineData(Medium.DirectPinned)]
    [InlineData(Medium.InMemory)]
    public void Random_requests_agree_with_an_array_of_bytes(Medium medium)
    {
        using TempImage image = NewImage(medium);
        using var rig = new DiskRig<TDriver>(medium == Medium.Ram ? new RamStore(DiskBytes) : Open(image, medium), indirectEntries: 64);
        var oracle = new byte[DiskBytes];
        Gen<(int Kind, int Sector, int Sectors, int Seed, int Cut, bool Indirect)> request =
            Gen.Select(Gen.Int[0, 9], Gen.Int[0, DiskSectors - 1], Gen.Int[1, 64], Gen.Int, Gen.Int[1, 1500], Gen.Bool);
        request.Array[100].Sample(
            requests =>
            {
                foreach ((int kind, int sector, int wanted, int seed, int cut, bool indirect) in requests)
                {
                    int sectors = Math.Min(wanted, DiskSectors - sector);
                    Step(rig, oracle, kind, sector, sectors, seed, cut, indirect);
                }
            },
            iter: 8,
            threads: 1);
        Assert.Equal(oracle, rig.Read(0, DiskBytes).Data);
        if (medium != Medium.Ram)
        {
            Assert.Equal(oracle, image.Bytes());
        }
    }

    [Fact]
    public void Direct_requests_with_more_misaligned_pieces_than_there_are_bounce_buffers_all_finish()
    {
        using TempImage image = NewImage(Medium.Direct);
        using var rig = new DiskRig<TDriver>(Open(image, Medium.Direct));
        var cookies = new List<(ushort Cookie, byte[] Data, ulong Sector)>();
        for (int i = 0; i < 60; i++)
        {
            var data = new byte[4096];
            new Random(i).NextBytes(data);
            rig.Ram.Allocate(1, 1);
            cookies.Add((rig.Send([.. DiskRig<TDriver>.Header(BlkRequestType.Out, (ulong)i * 8), .. data], 1, [16, 100, 3996]), data, (ulong)i * 8));
        }

        foreach ((ushort cookie, _, _) in cookies)
        {
            Assert.Equal(BlkStatus.Ok, rig.Wait(cookie).Status);
        }

        foreach ((_, byte[] data, ulong sector) in cookies)
        {
            Assert.Equal(data, rig.Do(DiskRig<TDriver>.Header(BlkRequestType.In, sector), 4097, writeCuts: [511, 3585, 1]).Data);
        }
    }

    [Theory]
    [InlineData(Medium.Cached)]
    [InlineData(Medium.InMemory)]
    public void Unmapped_ranges_give_their_storage_back_and_zeroed_ones_keep_it(Medium medium)
    {
        using TempImage image = NewImage(medium);
        using var rig = new DiskRig<TDriver>(Open(image, medium));
        var data = new byte[DiskBytes / 2];
        Array.Fill(data, (byte)7);
        rig.Write(0, data);
        rig.Flush();
        long full = Blocks(image);
        Assert.True(full >= DiskBytes / 1024, $"{full} blocks");
        Assert.Equal(BlkStatus.Ok, rig.WriteZeroes(new BlkSegment(0, 256, 0)).Status);
        rig.Flush();
        Assert.Equal(full, Blocks(image));
        Assert.Equal(BlkStatus.Ok, rig.WriteZeroes(new BlkSegment(0, 256, BlkSegment.UnmapFlag)).Status);
        Assert.Equal(full - 256, Blocks(image));
        Assert.Equal(BlkStatus.Ok, rig.Discard(new BlkSegment(256, 256, 0), new BlkSegment(512, 256, 0)).Status);
        Assert.Equal(full - 768, Blocks(image));
        Assert.All(rig.Read(0, 512 * 512).Data, value => Assert.Equal(0, value));
        Assert.Equal(data.AsSpan(768 * 512).ToArray(), rig.Read(768, (DiskSectors / 2 - 768) * 512).Data);
    }

    [Fact]
    public void B3_a_write_behind_the_end_does_not_grow_the_image()
    {
        using TempImage image = NewImage(Medium.Cached);
        using var rig = new DiskRig<TDriver>(Open(image, Medium.Cached));
        Assert.Equal(BlkStatus.IoError, rig.Write(DiskSectors - 1, new byte[1024]).Status);
        Assert.Equal(BlkStatus.IoError, rig.WriteZeroes(new BlkSegment(DiskSectors, 1, 0)).Status);
        Assert.Equal(DiskBytes, new FileInfo(image.Path).Length);
    }

    [Fact]
    public void B5_the_image_of_a_read_only_disk_is_not_open_for_writing()
    {
        using TempImage image = NewImage(Medium.Cached);
        using var rig = new DiskRig<TDriver>(Open(image, Medium.Cached, new BlockDeviceOptions { ReadOnly = true }), new BlockDeviceOptions { ReadOnly = true });
        Assert.Equal(BlkStatus.Ok, rig.Read(0, 512).Status);
        int[] modes = [.. Directory.GetFiles("/proc/self/fd")
            .Where(fd => new FileInfo(fd).LinkTarget == image.Path)
            .Select(fd => File.ReadAllLines($"/proc/self/fdinfo/{Path.GetFileName(fd)}").Single(line => line.StartsWith("flags:", StringComparison.Ordinal)))
            .Select(flags => Convert.ToInt32(flags.Split('\t')[1], 8) & 3)];
        Assert.NotEmpty(modes);
        Assert.All(modes, mode => Assert.Equal(0, mode)); // O_RDONLY
    }

    [Fact]
    public void B10_a_read_of_an_image_that_became_shorter_fails_without_stale_bytes_that_count()
    {
        using TempImage image = NewImage(Medium.Cached);
        using var rig = new DiskRig<TDriver>(Open(image, Medium.Cached));
        using (FileStream file = File.OpenWrite(image.Path))
        {
            file.SetLength(4096);
        }

        Answer answer = rig.Read(0, 8192);
        Assert.Equal((BlkStatus.IoError, 4097u), (answer.Status, answer.UsedBytes));
        Assert.All(answer.Data[..4096], value => Assert.Equal(0, value));
        Assert.All(answer.Data[4096..], value => Assert.Equal(DiskRig<TDriver>.Stale, value));
    }

    [Theory]
    [InlineData(Medium.Cached)]
    [InlineData(Medium.InMemory)]
    [InlineData(Medium.Direct)]
    public void Nothing_is_allocated_while_requests_run(Medium medium)
    {
        using TempImage image = NewImage(medium);
        using var rig = new AllocationRig<TDriver>(Open(image, medium));
        rig.Run(500);
        long before = GC.GetAllocatedBytesForCurrentThread();
        rig.Run(2_000);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Theory]
    [InlineData(Medium.Cached)]
    [InlineData(Medium.Direct)]
    public void A3_pages_that_the_front_end_gave_back_are_read_as_zeroes_and_replaced_ones_are_used(Medium medium)
    {
        using TempImage image = NewImage(medium);
        using var rig = new DiskRig<TDriver>(Open(image, medium));
        for (int round = 0; round < 4; round++)
        {
            // The same guest pages each time, through the queue as well (more than what is tried at once).
            ulong mark = rig.Ram.Mark();
            GuestAddress at = rig.Ram.Allocate(65536, 4096);
            rig.Ram.Rewind(mark);
            byte[] data = [.. Enumerable.Repeat((byte)(round + 1), 4096)];
            ushort[] cookies = [.. Enumerable.Range(0, 8).Select(i =>
                rig.Send([.. DiskRig<TDriver>.Header(BlkRequestType.Out, (ulong)i * 8), .. data], 1, [16, 4096], alignment: 4096))];
            Assert.All(cookies, cookie => Assert.Equal(BlkStatus.Ok, rig.Wait(cookie).Status));
            cookies = [.. Enumerable.Range(0, 8).Select(i => rig.Send(DiskRig<TDriver>.Header(BlkRequestType.In, (ulong)i * 8), 4097, writeCuts: [4096, 1], alignment: 4096))];
            Assert.All(cookies, cookie => Assert.Equal(data, rig.Wait(cookie).Data));
            rig.Ram.Rewind(mark);
            rig.Ram.GiveBack(at, 65536);
            Assert.All(rig.Ram.Read(at, 65536), value => Assert.Equal(0, value));
        }
    }

    [Fact]
    public void A_request_in_flight_is_finished_before_the_queue_is_gone()
    {
        using TempImage image = NewImage(Medium.Direct);
        var data = new byte[65536];
        new Random(3).NextBytes(data);
        using (var rig = new DiskRig<TDriver>(Open(image, Medium.Direct)))
        {
            rig.Send([.. DiskRig<TDriver>.Header(BlkRequestType.Out, 0), .. data], 1, [16, 65536], alignment: 4096);
            rig.Loop.RunBatch();
        }

        Assert.Equal(data, image.Bytes().AsSpan(0, data.Length).ToArray());
    }

    private static void Step(DiskRig<TDriver> rig, byte[] oracle, int kind, int sector, int sectors, int seed, int cut, bool indirect)
    {
        Span<byte> range = oracle.AsSpan(sector * 512, sectors * 512);
        switch (kind)
        {
            case < 4:
                Answer read = rig.Do(DiskRig<TDriver>.Header(BlkRequestType.In, (ulong)sector), range.Length + 1, writeCuts: Cut(range.Length + 1, cut), indirect: indirect);
                Assert.Equal((BlkStatus.Ok, (uint)range.Length + 1), (read.Status, read.UsedBytes));
                Assert.True(range.SequenceEqual(read.Data));
                break;

            case < 8:
                new Random(seed).NextBytes(range);
                byte[] request = [.. DiskRig<TDriver>.Header(BlkRequestType.Out, (ulong)sector), .. range];
                Assert.Equal(BlkStatus.Ok, rig.Do(request, 1, Cut(request.Length, cut), indirect: indirect).Status);
                break;

            default:
                range.Clear();
                Assert.Equal(BlkStatus.Ok, rig.WriteZeroes(new BlkSegment((ulong)sector, (uint)sectors, (uint)kind & 1)).Status);
                break;
        }
    }

    /// <summary>Pieces of one length, at most 40, the last one taking the rest.</summary>
    private static int[] Cut(int lengthBytes, int piece)
    {
        piece = Math.Max(piece, (lengthBytes / 40) + 1);
        var cuts = new List<int>();
        for (; lengthBytes > 0; lengthBytes -= piece)
        {
            cuts.Add(Math.Min(piece, lengthBytes));
        }

        return [.. cuts];
    }

    /// <summary>Sectors that the image occupies.</summary>
    private static long Blocks(TempImage image)
    {
        using System.Diagnostics.Process stat = System.Diagnostics.Process.Start(
            new System.Diagnostics.ProcessStartInfo("stat", ["-c", "%b", image.Path]) { RedirectStandardOutput = true })!;
        long blocks = long.Parse(stat.StandardOutput.ReadToEnd(), System.Globalization.CultureInfo.InvariantCulture);
        stat.WaitForExit();
        return blocks;
    }
}

/// <summary>Over split rings.</summary>
public sealed class SplitFileTests : FileTests<SplitDriver>;

/// <summary>Over packed rings.</summary>
public sealed class PackedFileTests : FileTests<PackedDriver>;
