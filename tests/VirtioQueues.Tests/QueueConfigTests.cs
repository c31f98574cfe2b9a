using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests;

public sealed class QueueConfigTests
{
    [Theory]
    [InlineData(RingFormat.Split, 0, false)]
    [InlineData(RingFormat.Split, 1, true)]
    [InlineData(RingFormat.Split, 3, false)]
    [InlineData(RingFormat.Split, 32768, true)]
    [InlineData(RingFormat.Split, 32769, false)]
    [InlineData(RingFormat.Split, 65536, false)]
    [InlineData(RingFormat.Split, -1, false)] // 2^32 − 1
    [InlineData(RingFormat.Packed, 0, false)]
    [InlineData(RingFormat.Packed, 1, true)]
    [InlineData(RingFormat.Packed, 3, true)]
    [InlineData(RingFormat.Packed, 32768, true)]
    [InlineData(RingFormat.Packed, 32769, false)]
    [InlineData(RingFormat.Packed, 65536, false)]
    [InlineData(RingFormat.Packed, -1, false)]
    public void M10_ring_sizes_outside_the_specification_are_refused(RingFormat format, int size, bool good)
    {
        string? error = Config(format, size).FindError(null);
        Assert.Equal(good, error is null);
        if (!good)
        {
            Assert.Contains($"size 0x{size:x}", error, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(RingFormat.Split)]
    [InlineData(RingFormat.Packed)]
    public void M11_each_ring_address_must_be_mapped_aligned_and_inside_one_region(RingFormat format)
    {
        using var memory = new TestMemory(1 << 16);
        QueueConfig good = Config(format, 16) with
        {
            DescriptorArea = new GuestAddress(TestMemory.Base),
            DriverArea = new GuestAddress(TestMemory.Base + 0x1000),
            DeviceArea = new GuestAddress(TestMemory.Base + 0x2000),
        };
        Assert.Null(good.FindError(memory.Table));
        (uint descriptor, uint driver, uint device) = good.AreaSizes();
        ulong end = TestMemory.Base + memory.SizeBytes;
        foreach ((ulong alignment, uint lengthBytes, Func<ulong, QueueConfig> at, string name) in new (ulong, uint, Func<ulong, QueueConfig>, string)[]
        {
            (16, descriptor, value => good with { DescriptorArea = new GuestAddress(value) }, "descriptor area"),
            (format == RingFormat.Split ? 2u : 4u, driver, value => good with { DriverArea = new GuestAddress(value) }, "driver area"),
            (4, device, value => good with { DeviceArea = new GuestAddress(value) }, "device area"),
        })
        {
            ulong last = (end - lengthBytes) & ~(alignment - 1);
            Assert.Null(at(last).FindError(memory.Table));
            ulong[] bad = [0, TestMemory.Base - alignment, TestMemory.Base + 0x4000 + (alignment / 2), last + alignment, end, ulong.MaxValue - alignment + 1];
            Assert.All(bad, value => Assert.Contains(name, at(value).FindError(memory.Table), StringComparison.Ordinal));
        }
    }

    [Fact]
    public void M11_a_ring_that_crosses_from_one_region_into_its_neighbour_is_refused()
    {
        using MemFd low = MemFd.Create("low", 0x1000), high = MemFd.Create("high", 0x1000);
        GuestMemory table = GuestMemory.Of(
        [
            GuestRegion.Map(new GuestAddress(0x1000), new UserAddress(0x1000), 0x1000, low, 0),
            GuestRegion.Map(new GuestAddress(0x2000), new UserAddress(0x2000), 0x1000, high, 0),
        ]);
        QueueConfig config = Config(RingFormat.Split, 16) with { DescriptorArea = new GuestAddress(0x1f80), DriverArea = new GuestAddress(0x1000), DeviceArea = new GuestAddress(0x2000) };
        Assert.NotNull(config.FindError(table));
        Assert.Null((config with { DescriptorArea = new GuestAddress(0x1f00) }).FindError(table));
        table.Release();
    }

    [Fact]
    public void M11_a_ring_that_is_aligned_for_the_guest_but_not_where_it_is_mapped_is_refused()
    {
        // A region may begin at any file offset, so the guest's alignment says nothing about ours; an unaligned 16-byte load would end the process.
        using MemFd file = MemFd.Create("odd", 0x3000);
        GuestMemory table = GuestMemory.Of([GuestRegion.Map(new GuestAddress(0x1000), new UserAddress(0x1000), 0x2000, file, 8)]);
        QueueConfig config = Config(RingFormat.Packed, 16) with { DescriptorArea = new GuestAddress(0x1000), DriverArea = new GuestAddress(0x2000), DeviceArea = new GuestAddress(0x2010) };
        Assert.Contains("descriptor area", config.FindError(table), StringComparison.Ordinal);
        using (var queue = new Virtqueue<PackedRing>(config, table))
        {
            Assert.False(queue.IsAttached);
        }

        QueueConfig split = Config(RingFormat.Split, 16) with { DescriptorArea = new GuestAddress(0x1000), DriverArea = new GuestAddress(0x2000), DeviceArea = new GuestAddress(0x2100) };
        using (var queue = new Virtqueue<SplitRing>(split, table))
        {
            Assert.False(queue.IsAttached);
        }

        table.Release();
    }

    [Theory]
    [InlineData(0x8000_8010u)]
    [InlineData(0x8010_8000u)]
    [InlineData(0xffff_ffffu)]
    [InlineData(0x0000_7fffu)]
    public void M11_a_packed_vring_base_beyond_the_ring_is_refused(uint raw)
    {
        QueueConfig config = Config(RingFormat.Packed, 16) with { State = new QueueState(raw) };
        Assert.Contains("base", config.FindError(null), StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new Virtqueue<PackedRing>(config, GuestMemory.Empty()));
        Assert.Null((config with { State = new QueueState(0x800f_000f) }).FindError(null));
        Assert.Null((config with { Features = 0, State = new QueueState(0xffff) }).FindError(null));
    }

    [Fact]
    public void Areas_have_the_sizes_of_the_specification()
    {
        Assert.Equal((256u * 16, (256u * 2) + 6, (256u * 8) + 6), Config(RingFormat.Split, 256).AreaSizes());
        Assert.Equal((3u * 16, 4u, 4u), Config(RingFormat.Packed, 3).AreaSizes());
    }

    private static QueueConfig Config(RingFormat format, int size) => new()
    {
        Index = 0,
        Size = size,
        Features = format == RingFormat.Packed ? VirtioFeatures.RingPacked : 0,
        DescriptorArea = default,
        DriverArea = default,
        DeviceArea = default,
        State = QueueState.Fresh(format),
    };
}
