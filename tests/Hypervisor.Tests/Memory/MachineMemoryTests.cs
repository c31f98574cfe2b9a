using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Memory;

public sealed unsafe class MachineMemoryTests
{
    [Theory]
    [InlineData(1ul, 2ul << 20)]
    [InlineData((64ul << 20) + 1, 66ul << 20)]
    public void A_size_is_rounded_up_to_large_pages(ulong asked, ulong given)
    {
        using var memory = MachineMemory.Create(asked);
        Assert.Equal(given, memory.SizeBytes);
        Assert.Equal((0ul, given), (Assert.Single(memory.Banks).Guest, memory.Banks[0].SizeBytes));
    }

    [Fact]
    public void What_does_not_fit_below_the_hole_goes_above_4_GiB()
    {
        using var memory = MachineMemory.Create(5UL << 30);
        Assert.Equal([(0ul, 3ul << 30), (4ul << 30, 2ul << 30)], memory.Banks.Select(bank => (bank.Guest, bank.SizeBytes)));
        Assert.Equal([(0ul, 0ul), (4ul << 30, 3ul << 30)], memory.Regions.Select(region => (region.Guest.Value, region.FileOffset)));
        Assert.Same(memory.Regions[0].File, memory.Regions[1].File);
        Assert.All(memory.Regions, region => Assert.Equal(region.Guest.Value + (1ul << 52), region.User.Value));
        Assert.True(memory.Table.TryWrite(new GuestAddress(0x1_0000_0000), [1, 2, 3]));
        Assert.False(memory.Table.TryWrite(new GuestAddress(0xC000_0000), [1]));
    }

    [Fact]
    public void A_guest_page_and_its_host_page_lie_alike_in_a_large_page()
    {
        for (int i = 0; i < 4; i++)
        {
            using var memory = MachineMemory.Create((6UL << 20) + (2UL << 20 << i));
            Assert.All(memory.Banks, bank => Assert.Equal(0ul, ((ulong)bank.Host - bank.Guest) % MachineMemory.Granule));
        }
    }

    [Fact]
    public void H3_a_back_end_cannot_truncate_guest_memory()
    {
        using var memory = MachineMemory.Create(2UL << 20);
        using FileDescriptor theirs = memory.Regions[0].File.Duplicate();
        foreach (long size in (long[])[0, 4096, 4L << 20])
        {
            Assert.Equal(Errno.EPERM, Assert.Throws<LinuxException>(() => FileDescriptor.Check(LibC.ftruncate(theirs.Number, size), "ftruncate")).Errno);
        }

        Assert.Equal(2ul << 20, FileStatus.Of(theirs).SizeBytes);
    }

    [Fact]
    public void Guest_memory_stays_out_of_core_dumps()
    {
        using var memory = MachineMemory.Create(2UL << 20);
        string start = $"{(ulong)memory.Banks[0].Host:x}-";
        string flags = File.ReadLines("/proc/self/smaps").SkipWhile(line => !line.StartsWith(start, StringComparison.Ordinal))
            .First(line => line.StartsWith("VmFlags:", StringComparison.Ordinal));
        Assert.Contains(" dd", flags, StringComparison.Ordinal);
        Assert.Contains(" hg", flags, StringComparison.Ordinal);
    }

    [Fact]
    public void Prefaulted_memory_is_present()
    {
        using var memory = MachineMemory.Create(8UL << 20, prefault: true);
        byte[] present = new byte[(8 << 20) / 4096];
        fixed (byte* start = present)
        {
            FileDescriptor.Check(LibC.mincore(memory.Banks[0].Host, (size_t)(8UL << 20), start), "mincore");
        }

        Assert.All(present, page => Assert.Equal(1, page & 1));
    }

    [Fact]
    public void Huge_pages_that_are_not_there_are_one_clear_line()
    {
        // More than any host has: reserved, not touched.
        IOException problem = Assert.Throws<IOException>(() => MachineMemory.Create(200UL << 30, hugePages: true));
        Assert.Matches(@"^guest memory of \d+ MiB: fewer than \d+ huge pages of 2 MiB are free \(see /proc/sys/vm/nr_hugepages\)$", problem.Message);
    }

    [Theory]
    [InlineData(64ul << 20, 0x1_0000_0000ul)]
    [InlineData(5ul << 30, 0x1_8000_0000ul)]
    public void Added_memory_lies_above_all_that_is_there(ulong sizeBytes, ulong expected)
    {
        using var memory = MachineMemory.Create(sizeBytes);
        GuestMemory before = memory.Table;
        int banks = memory.Banks.Count;
        MemoryBank? attached = null;
        GuestRamRegion region = memory.Add(256UL << 20, bank =>
        {
            attached = bank;
            Assert.Equal(banks, memory.Banks.Count); // nobody else has seen it
        });
        Assert.Equal((expected, 256ul << 20, 0ul), (region.Guest.Value, region.SizeBytes, region.FileOffset));
        Assert.Same(attached, memory.Banks[^1]);
        Assert.NotSame(memory.Regions[0].File, region.File);
        Assert.True(memory.Table.Contains(before));
        Assert.True(memory.Table.TryWrite(new GuestAddress(expected), [1]));
        Assert.False(before.TryWrite(new GuestAddress(expected), [1]));
        Assert.Equal(expected + (256ul << 20), memory.Add(128UL << 20, _ => { }).Guest.Value);
    }

    [Fact]
    public void What_cannot_be_attached_was_not_added()
    {
        using var memory = MachineMemory.Create(2UL << 20);
        Assert.Throws<InvalidOperationException>(() => memory.Add(128UL << 20, _ => throw new InvalidOperationException("no")));
        Assert.Single(memory.Banks);
        Assert.Single(memory.Regions);
        Assert.Equal(0x1_0000_0000ul, memory.Add(128UL << 20, _ => { }).Guest.Value);
    }

    [Fact]
    public void Memory_ends_where_the_devices_window_begins()
    {
        using var memory = MachineMemory.Create(2UL << 20);
        IOException problem = Assert.Throws<IOException>(() => memory.Add(1UL << 40, _ => { }));
        Assert.Equal("no room for 1048576 MiB of memory at 0x100000000: memory ends at 0x4000000000", problem.Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => memory.Add(1, _ => { }));
        Assert.Throws<ArgumentOutOfRangeException>(() => MachineMemory.Create(MachineMemory.MaxSizeBytes + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => MachineMemory.Create(0));
    }

    [Fact]
    public void What_was_taken_back_is_given_again_to_who_wants_as_much()
    {
        using var memory = MachineMemory.Create(2UL << 20);
        Assert.Throws<InvalidOperationException>(() => memory.TakeBack(_ => { }));
        GuestMemory before = memory.Table;
        GuestRamRegion region = memory.Add(128UL << 20, _ => { });
        MemoryBank? detached = null;
        memory.TakeBack(bank => detached = bank);
        Assert.Equal(region.Guest.Value, detached!.Guest);
        Assert.Equal(2UL << 20, memory.SizeBytes);
        Assert.Single(memory.Regions);
        Assert.True(before.Contains(memory.Table));
        Assert.False(memory.Table.TryWrite(region.Guest, [1]));

        MemoryBank? attached = null;
        Assert.Same(region, memory.Add(128UL << 20, bank => attached = bank));
        Assert.Same(detached, attached);
        Assert.True(memory.Table.TryWrite(region.Guest, [1]));
        memory.TakeBack(_ => { });
        Assert.Equal(region.Guest, memory.Add(256UL << 20, _ => { }).Guest);
        Assert.Equal((2UL << 20) + (256UL << 20), memory.SizeBytes);
    }
}
