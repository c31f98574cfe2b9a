using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Tests.Memory;

public sealed class DirtyLogTests
{
    private const ulong Page = DirtyLog.PageBytes;

    [Fact]
    public void I7_exactly_the_pages_that_a_range_touches_are_marked()
    {
        foreach ((ulong address, ulong length, int first, int count) in new[]
        {
            (0UL, 1UL, 0, 1), (Page - 1, 1UL, 0, 1), (Page - 1, 2UL, 0, 2), (Page, Page, 1, 1), (Page, Page + 1, 1, 2), (31 * Page, 2 * Page, 31, 2), (0UL, 64 * Page, 0, 64), ((64 * Page) - 1, 1UL, 63, 1), (5UL, 0UL, 0, 0),
        })
        {
            using MemFd file = MemFd.Create("log", Page);
            using DirtyLog log = DirtyLog.Map(file, 0, 8);
            Assert.True(log.TryMark(new GuestAddress(address), length));
            Assert.Equal(Enumerable.Range(first, count), Marked(file, 0, 64));
        }
    }

    [Theory]
    [InlineData(64 * Page, 1UL)]
    [InlineData((64 * Page) - 1, 2UL)]
    [InlineData(1UL << 63, 1UL)]
    [InlineData(ulong.MaxValue, 1UL)]
    [InlineData(ulong.MaxValue, 2UL)]
    [InlineData(ulong.MaxValue - 3, 2054UL)]
    [InlineData(ulong.MaxValue, ulong.MaxValue)]
    [InlineData(1UL, ulong.MaxValue)]
    public void M17_a_write_beyond_the_log_is_told_and_no_bit_beyond_it_is_set(ulong address, ulong length)
    {
        using MemFd file = MemFd.Create("log", Page);
        using DirtyLog log = DirtyLog.Map(file, 0, 8);
        Assert.False(log.TryMark(new GuestAddress(address), length));
        Assert.DoesNotContain(Marked(file, 0, (int)Page * 8), page => page >= 64);
    }

    [Theory]
    [InlineData(0UL, 0UL)]
    [InlineData(0UL, Page + 1)]
    [InlineData(Page, 1UL)]
    [InlineData(1UL, Page)]
    [InlineData(ulong.MaxValue, 1UL)]
    [InlineData(ulong.MaxValue, ulong.MaxValue)]
    [InlineData(8UL, ulong.MaxValue - 7)]
    public void M17_a_log_outside_its_file_is_refused(ulong offset, ulong size)
    {
        using MemFd file = MemFd.Create("log", Page);
        Assert.Throws<GuestMemoryException>(() => DirtyLog.Map(file, offset, size));
    }

    [Theory]
    [InlineData(3UL, 5UL)]
    [InlineData(4095UL, 1UL)]
    [InlineData(4093UL, 6UL)]
    public void I7_a_log_may_begin_and_end_at_any_byte_of_its_file(ulong offset, ulong size)
    {
        using MemFd file = MemFd.Create("log", 2 * Page);
        using DirtyLog log = DirtyLog.Map(file, offset, size);
        Assert.True(log.TryMark(default, size * 8 * Page));
        Assert.Equal(Enumerable.Range((int)offset * 8, (int)size * 8), Marked(file, 0, (int)Page * 16));
    }

    [Fact]
    public void I7_what_was_marked_before_the_log_arrived_is_carried_over()
    {
        using var two = new TwoRegions();
        using DirtyLog early = DirtyLog.Private(two.Table);
        Assert.True(early.TryMark(new GuestAddress(TwoRegions.End - 1), 1)); // the last page of memory
        Assert.True(early.TryMark(new GuestAddress(TwoRegions.Low), 3 * Page));
        using MemFd file = MemFd.Create("log", 2 * Page);
        using DirtyLog log = DirtyLog.Map(file, 0, 2 * Page);
        Assert.True(early.TryMergeInto(log));
        Assert.Equal([0x100, 0x101, 0x102, 0x11f], Marked(file, 0, (int)Page * 16));
        using DirtyLog small = DirtyLog.Map(file, 0, 0x21);
        Assert.False(early.TryMergeInto(small));
    }

    [Fact]
    public async Task I7_marks_from_several_threads_in_one_word_are_all_kept()
    {
        using MemFd file = MemFd.Create("log", Page);
        using DirtyLog log = DirtyLog.Map(file, 0, Page);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(thread => Task.Run(() =>
        {
            for (int page = thread; page < 32768; page += 4)
            {
                Assert.True(log.TryMark(new GuestAddress((ulong)page * Page), 1));
            }
        })));
        Assert.Equal(Enumerable.Range(0, 32768), Marked(file, 0, 32768));
    }

    private static unsafe List<int> Marked(MemFd file, int first, int count)
    {
        using Mapping map = Mapping.OfFile(file, 0, (nuint)file.LengthBytes);
        byte* bits = map.Address;
        return [.. Enumerable.Range(first, count).Where(page => (bits[page / 8] & (1 << (page % 8))) != 0)];
    }
}
