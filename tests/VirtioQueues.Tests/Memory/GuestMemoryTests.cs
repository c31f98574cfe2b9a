using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Tests.Memory;

public sealed class GuestMemoryTests
{
    private const ulong Page = 4096;

    [Fact]
    public void A1_regions_that_overlap_in_the_guest_or_at_the_front_end_are_refused()
    {
        using MemFd file = MemFd.Create("regions", 16 * Page);
        foreach ((ulong guest, ulong user, bool good) in new[] { (0x4000UL, 0x4000UL, true), (0x3fffUL, 0x4000UL, false), (0x4000UL, 0x3fffUL, false), (0x0UL, 0x0UL, true), (0x2fffUL, 0x9000UL, false) })
        {
            GuestRegion a = Map(file, 0x2000, 0x2000, 0x2000), b = Map(file, guest, user, 0x1000 + (guest == 0 ? 0x1000UL : 0));
            if (good)
            {
                GuestMemory.Of([a, b]).Release();
                continue;
            }

            Assert.Contains("overlap", Assert.Throws<GuestMemoryException>(() => GuestMemory.Of([a, b])).Message, StringComparison.Ordinal);
            a.Discard();
            b.Discard();
        }
    }

    [Fact]
    public void A1_a_region_that_is_empty_or_wraps_is_refused()
    {
        using MemFd file = MemFd.Create("regions", 16 * Page);
        Assert.Contains("size is 0", Assert.Throws<GuestMemoryException>(() => Map(file, 0, 0, 0)).Message, StringComparison.Ordinal);
        Assert.Contains("wraps", Assert.Throws<GuestMemoryException>(() => Map(file, ulong.MaxValue - Page + 2, 0, Page)).Message, StringComparison.Ordinal);
        Assert.Contains("wraps", Assert.Throws<GuestMemoryException>(() => Map(file, 0, ulong.MaxValue - Page + 2, Page)).Message, StringComparison.Ordinal);
        Map(file, ulong.MaxValue - Page + 1, ulong.MaxValue - Page + 1, Page).Discard(); // ends exactly at 2^64
    }

    [Theory]
    [InlineData(16 * Page, 1UL)]
    [InlineData(15 * Page, Page + 1)]
    [InlineData(0UL, (16 * Page) + 1)]
    [InlineData(0UL, ulong.MaxValue)]
    [InlineData(ulong.MaxValue, 1UL)]
    [InlineData(ulong.MaxValue - Page + 1, Page)]
    public void A2_a_region_beyond_the_end_of_its_file_is_refused(ulong offset, ulong sizeBytes)
    {
        using MemFd file = MemFd.Create("regions", 16 * Page);
        Assert.Contains("over the end", Assert.Throws<GuestMemoryException>(() => GuestRegion.Map(default, default, sizeBytes, file, offset)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A1_as_many_regions_as_promised_fit_and_one_more_does_not()
    {
        using MemFd file = MemFd.Create("regions", Page);
        GuestRegion[] regions = [.. Enumerable.Range(0, GuestMemory.MaxRegions).Select(i => Map(file, (ulong)i * Page, (ulong)i * Page, Page))];
        GuestMemory table = GuestMemory.Of(regions.Reverse());
        for (int i = 0; i < regions.Length; i++)
        {
            Assert.Same(regions[i], table.RegionOf(((ulong)i * Page) + 17));
        }

        GuestRegion extra = Map(file, 1UL << 40, 1UL << 40, Page);
        Assert.Throws<GuestMemoryException>(() => GuestMemory.Of([.. regions, extra]));
        extra.Discard();
        table.Release();
    }

    [Fact]
    public void A7_translation_accepts_exactly_the_bytes_of_the_region()
    {
        using MemFd file = MemFd.Create("regions", 16 * Page);
        foreach (ulong at in new[] { 0UL, 0x10_0000UL, ulong.MaxValue - (4 * Page) + 1 })
        {
            GuestMemory table = GuestMemory.Of([Map(file, at, at, 4 * Page)]);
            foreach ((ulong offset, uint lengthBytes, bool good) in new (ulong, uint, bool)[]
            {
                (0, 1, true), (0, 4 * (uint)Page, true), (0, (4 * (uint)Page) + 1, false), ((4 * Page) - 1, 1, true), ((4 * Page) - 1, 2, false), (4 * Page, 1, false),
                (ulong.MaxValue, 1, false), (ulong.MaxValue, 2, false), (100, uint.MaxValue, false), ((4 * Page) - 1, 0, true), (4 * Page, 0, false),
            })
            {
                Assert.Equal(good, table.TryTranslate(new GuestAddress(unchecked(at + offset)), lengthBytes, out GuestSlice slice));
                Assert.Equal(good ? lengthBytes : 0, slice.LengthBytes);
            }

            table.Release();
        }
    }

    [Fact]
    public void A6_reads_and_writes_cross_neighbouring_regions_and_stop_at_gaps()
    {
        using var two = new TwoRegions();
        byte[] pattern = new byte[256];
        new Random(3).NextBytes(pattern);
        var at = new GuestAddress(TwoRegions.Border - 100);
        Assert.True(two.Table.TryWrite(at, pattern));
        byte[] seen = new byte[256];
        Assert.True(two.Table.TryRead(at, seen));
        Assert.Equal(pattern, seen);
        Assert.False(two.Table.TryTranslate(at, 256, out _));
        Assert.False(two.Table.TryRead(new GuestAddress(TwoRegions.End - 100), seen));
        Assert.False(two.Table.TryWrite(new GuestAddress(TwoRegions.Low - 1), pattern));
        Assert.True(two.Table.TryRead(new GuestAddress(123), []));
    }

    [Fact]
    public void A7_reads_and_writes_do_not_wrap_round_the_address_space()
    {
        using MemFd file = MemFd.Create("regions", 4 * Page);
        GuestMemory table = GuestMemory.Of([Map(file, ulong.MaxValue - Page + 1, ulong.MaxValue - Page + 1, Page), Map(file, 0, 0, Page)]);
        byte[] bytes = new byte[64];
        Assert.True(table.TryRead(new GuestAddress(ulong.MaxValue - 63), bytes));
        Assert.False(table.TryRead(new GuestAddress(ulong.MaxValue - 62), bytes));
        Assert.True(table.TryWrite(new GuestAddress(ulong.MaxValue - 63), bytes));
        Assert.False(table.TryWrite(new GuestAddress(ulong.MaxValue - 62), bytes));
        table.Release();
    }

    [Fact]
    public void A_front_end_address_is_found_with_its_whole_range_or_not_at_all()
    {
        using MemFd file = MemFd.Create("regions", 4 * Page);
        GuestMemory table = GuestMemory.Of([Map(file, 0x1000, 0x7000_0000, 2 * Page), Map(file, 0x8000, ulong.MaxValue - Page + 1, Page)]);
        Assert.True(table.TryFind(new UserAddress(0x7000_0010), 0x1ff0, out GuestAddress guest));
        Assert.Equal(0x1010u, guest.Value);
        Assert.False(table.TryFind(new UserAddress(0x7000_0010), 0x1ff1, out _));
        Assert.False(table.TryFind(new UserAddress(0x6fff_ffff), 1, out _));
        Assert.True(table.TryFind(new UserAddress(ulong.MaxValue), 1, out guest));
        Assert.Equal(0x8fffu, guest.Value);
        Assert.False(table.TryFind(new UserAddress(ulong.MaxValue), 2, out _));
        Assert.False(table.TryFind(new UserAddress(0x7000_0000), ulong.MaxValue, out _));
        table.Release();
    }

    [Fact]
    public void A4_a_region_is_unmapped_with_the_last_table_that_holds_it()
    {
        using MemFd file = MemFd.Create("regions", 4 * Page);
        GuestRegion kept = Map(file, 0, 0, Page), dropped = Map(file, Page, Page, Page);
        GuestMemory both = GuestMemory.Of([kept, dropped]);
        GuestMemory one = GuestMemory.Of([kept]);
        Assert.True(both.Contains(one));
        Assert.False(one.Contains(both));
        GuestMemory holder = both.Acquire();
        both.Release();
        Assert.False(dropped.Mapping.Mapping.IsClosed);
        holder.Release();
        Assert.True(dropped.Mapping.Mapping.IsClosed);
        Assert.False(kept.Mapping.Mapping.IsClosed);
        one.Release();
        Assert.True(kept.Mapping.Mapping.IsClosed);
    }

    [Fact]
    public async Task A4_holders_on_many_threads_unmap_exactly_once()
    {
        using MemFd file = MemFd.Create("regions", Page);
        GuestRegion region = Map(file, 0, 0, Page);
        GuestMemory table = GuestMemory.Of([region]);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                table.Acquire().Release();
            }
        })));
        Assert.False(region.Mapping.Mapping.IsClosed);
        table.Release();
        Assert.True(region.Mapping.Mapping.IsClosed);
    }

    [Fact]
    public unsafe void A8_guest_memory_stays_out_of_core_dumps()
    {
        using MemFd file = MemFd.Create("regions", 4 * Page);
        GuestRegion region = Map(file, 0, 0, 4 * Page);
        string[] maps = File.ReadAllLines("/proc/self/smaps");
        int at = Array.FindIndex(maps, line => line.StartsWith($"{(nint)region.Host:x}-", StringComparison.Ordinal));
        Assert.True(at >= 0, "the region is mapped");
        string flags = maps.Skip(at).First(line => line.StartsWith("VmFlags:", StringComparison.Ordinal));
        Assert.Contains("dd", flags.Split(' ')); // MADV_DONTDUMP
        region.Discard();
    }

    [Fact]
    public void A_region_may_begin_inside_a_page_of_its_file()
    {
        using MemFd file = MemFd.Create("regions", 4 * Page);
        GuestMemory whole = GuestMemory.Of([Map(file, 0, 0, 4 * Page)]);
        GuestMemory part = GuestMemory.Of([GuestRegion.Map(new GuestAddress(0x5000), default, Page, file, Page + 0x123)]);
        Assert.True(whole.TryWrite(new GuestAddress(Page + 0x123), [1, 2, 3, 4]));
        byte[] seen = new byte[4];
        Assert.True(part.TryRead(new GuestAddress(0x5000), seen));
        Assert.Equal([1, 2, 3, 4], seen);
        whole.Release();
        part.Release();
    }

    private static GuestRegion Map(MemFd file, ulong guest, ulong user, ulong sizeBytes) =>
        GuestRegion.Map(new GuestAddress(guest), new UserAddress(user), sizeBytes, file, 0);
}
