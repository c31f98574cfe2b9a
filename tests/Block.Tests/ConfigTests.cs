using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.Backends.Block.Spec;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Backends.Block.Tests;

/// <summary>Wire structs, features and config space.</summary>
public sealed class ConfigTests
{
    [Theory]
    [InlineData(nameof(BlkConfig.Capacity), 0)]
    [InlineData(nameof(BlkConfig.SizeMax), 8)]
    [InlineData(nameof(BlkConfig.SegMax), 12)]
    [InlineData(nameof(BlkConfig.Cylinders), 16)]
    [InlineData(nameof(BlkConfig.Heads), 18)]
    [InlineData(nameof(BlkConfig.Sectors), 19)]
    [InlineData(nameof(BlkConfig.BlkSize), 20)]
    [InlineData(nameof(BlkConfig.PhysicalBlockExponent), 24)]
    [InlineData(nameof(BlkConfig.AlignmentOffset), 25)]
    [InlineData(nameof(BlkConfig.MinIoSize), 26)]
    [InlineData(nameof(BlkConfig.OptIoSize), 28)]
    [InlineData(nameof(BlkConfig.Writeback), 32)]
    [InlineData(nameof(BlkConfig.Unused0), 33)]
    [InlineData(nameof(BlkConfig.NumQueues), 34)]
    [InlineData(nameof(BlkConfig.MaxDiscardSectors), 36)]
    [InlineData(nameof(BlkConfig.MaxDiscardSeg), 40)]
    [InlineData(nameof(BlkConfig.DiscardSectorAlignment), 44)]
    [InlineData(nameof(BlkConfig.MaxWriteZeroesSectors), 48)]
    [InlineData(nameof(BlkConfig.MaxWriteZeroesSeg), 52)]
    [InlineData(nameof(BlkConfig.WriteZeroesMayUnmap), 56)]
    public void Config_fields_lie_where_the_specification_has_them(string field, int offset)
    {
        Assert.Equal(offset, Marshal.OffsetOf<BlkConfig>(field));
        Assert.Equal(60, Unsafe.SizeOf<BlkConfig>());
    }

    [Fact]
    public void Requests_and_segments_have_16_bytes_with_fields_in_wire_order()
    {
        Assert.Equal(16, Unsafe.SizeOf<BlkRequestHeader>());
        Assert.Equal(16, Unsafe.SizeOf<BlkSegment>());
        byte[] bytes = [13, 0, 0, 0x80, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8];
        BlkRequestHeader header = MemoryMarshal.Read<BlkRequestHeader>(bytes);
        Assert.Equal(BlkRequestType.WriteZeroes, header.Type);
        Assert.Equal(0x0807060504030201UL, header.Sector);
        BlkSegment segment = MemoryMarshal.Read<BlkSegment>(bytes);
        Assert.Equal((0x0909_0909_8000_000dUL, 0x0403_0201u, 0x0807_0605u), (segment.Sector, segment.Sectors, segment.Flags));
        Assert.True(segment.MayUnmap);
    }

    [Fact]
    public void State_of_a_request_fits_into_a_cache_line() => Assert.InRange(Unsafe.SizeOf<FileRequest>(), 1, 64);

    [Fact]
    public void Config_space_tells_what_the_options_say()
    {
        using var device = new BlockDevice(new RamStore(3 << 20), new BlockDeviceOptions { QueueCount = 5, MaxQueueSize = 64, LogicalBlockBytes = 4096 });
        var bytes = new byte[BlkConfig.SizeBytes];
        device.ReadConfig(0, bytes);
        BlkConfig config = MemoryMarshal.Read<BlkConfig>(bytes);
        Assert.Equal(6144u, config.Capacity);
        Assert.Equal(62u, config.SegMax);
        Assert.Equal(4096u, config.BlkSize);
        Assert.Equal((0, 0, 1, 0u), (config.PhysicalBlockExponent, config.AlignmentOffset, config.MinIoSize, config.OptIoSize));
        Assert.Equal((1, 0, 5), (config.Writeback, config.Unused0, config.NumQueues));
        Assert.Equal((BlockLimits.MaxDiscardSectors, 16u, 8u), (config.MaxDiscardSectors, config.MaxDiscardSeg, config.DiscardSectorAlignment));
        Assert.Equal((BlockLimits.MaxWriteZeroesSectors, 16u, 1), (config.MaxWriteZeroesSectors, config.MaxWriteZeroesSeg, config.WriteZeroesMayUnmap));
        Assert.Equal((0u, 0, 0, 0), (config.SizeMax, config.Cylinders, config.Heads, config.Sectors));
        Assert.Equal([0, 0, 0], bytes[57..]);

        var part = new byte[4];
        device.ReadConfig(12, part);
        Assert.Equal(62u, BinaryPrimitives.ReadUInt32LittleEndian(part));
        Assert.Equal(60, device.Traits.ConfigSizeBytes);
    }

    [Theory]
    [InlineData(512, 3, 8)]
    [InlineData(4096, 0, 1)]
    public void Physical_blocks_are_told_in_logical_ones(uint logicalBytes, byte exponent, ushort minIo)
    {
        using var device = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions { LogicalBlockBytes = logicalBytes });
        BlkConfig config = Read(device);
        Assert.Equal((exponent, minIo), (config.PhysicalBlockExponent, config.MinIoSize));
        Assert.NotEqual(1u, config.OptIoSize);
    }

    [Fact]
    public void Seg_max_leaves_room_for_header_and_status_in_the_smallest_queue_of_front_ends_in_the_field()
    {
        using var device = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions { MaxQueueSize = 1024 });
        Assert.Equal(126u, Read(device).SegMax);
    }

    [Fact]
    public void Features_are_those_of_the_options()
    {
        using var writable = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions());
        const ulong common = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | VirtioFeatures.RingPacked
            | VirtioFeatures.RingReset | (1 << 2) | (1 << 6) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12);
        Assert.Equal(common | (1 << 13) | (1 << 14), writable.Traits.Features);
        using var readOnly = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions { ReadOnly = true });
        Assert.Equal(common | (1 << 5), readOnly.Traits.Features);
        BlkConfig config = Read(readOnly);
        Assert.Equal((0u, 0u, 0u, 0u, 0), (config.MaxDiscardSectors, config.MaxDiscardSeg, config.MaxWriteZeroesSectors, config.MaxWriteZeroesSeg, config.WriteZeroesMayUnmap));
    }

    [Fact]
    public void Only_writeback_can_be_written()
    {
        using var device = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions());
        for (int offset = 0; offset < BlkConfig.SizeBytes; offset++)
        {
            string? error = device.TryWriteConfig(offset, [0], restoring: false);
            Assert.Equal(offset == BlkConfig.WritebackOffset, error is null);
        }

        Assert.Equal(0, Read(device).Writeback);
        Assert.NotNull(device.TryWriteConfig(BlkConfig.WritebackOffset, [2], restoring: false));
        Assert.NotNull(device.TryWriteConfig(BlkConfig.WritebackOffset, [1, 0], restoring: false));
        Assert.Equal(0, Read(device).Writeback);
        Assert.Null(device.TryWriteConfig(BlkConfig.WritebackOffset, [1], restoring: false));
        Assert.Equal(1, Read(device).Writeback);
    }

    [Fact]
    public void B8_a_cache_that_one_front_end_turned_on_is_not_on_for_the_next_and_one_turned_off_stays_off()
    {
        using var device = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions());
        device.AcceptFeatures(BlkFeatures.ConfigWce);
        Assert.Null(device.TryWriteConfig(BlkConfig.WritebackOffset, [1], restoring: false));
        Assert.True(device.IsWriteback(flushNegotiated: false));
        device.ForgetFrontend();
        device.AcceptFeatures(BlkFeatures.ConfigWce);
        Assert.Equal(0, Read(device).Writeback);
        Assert.False(device.IsWriteback(flushNegotiated: false));

        device.ForgetFrontend();
        device.AcceptFeatures(BlkFeatures.ConfigWce | BlkFeatures.Flush);
        Assert.Equal(1, Read(device).Writeback);
        Assert.Null(device.TryWriteConfig(BlkConfig.WritebackOffset, [0], restoring: false));
        device.ForgetFrontend();
        Assert.False(device.IsWriteback(flushNegotiated: true));
    }

    [Fact]
    public void A_restored_config_space_sets_writeback_and_nothing_else()
    {
        using var device = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions());
        var bytes = new byte[BlkConfig.SizeBytes];
        Array.Fill(bytes, (byte)0xff);
        bytes[BlkConfig.WritebackOffset] = 0;
        Assert.Null(device.TryWriteConfig(0, bytes, restoring: true));
        Assert.Equal(((byte)0, 2048UL), (Read(device).Writeback, Read(device).Capacity));
        Assert.Null(device.TryWriteConfig(0, bytes.AsSpan(0, 8), restoring: true));
        device.Reset();
        Assert.Equal(1, Read(device).Writeback);
    }

    [Theory]
    [InlineData(BlkFeatures.Flush | BlkFeatures.ConfigWce, 1)]
    [InlineData(BlkFeatures.Flush, 1)]
    [InlineData(BlkFeatures.ConfigWce, 0)]
    public void B8_writeback_begins_as_the_negotiated_features_demand(ulong features, byte writeback)
    {
        using var device = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions());
        device.AcceptFeatures(VirtioFeatures.Version1 | features);
        Assert.Equal(writeback, Read(device).Writeback);
    }

    [Fact]
    public void Queues_share_a_worker_or_have_one_each()
    {
        using var shared = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions { QueueCount = 3 });
        Assert.Equal((1, 0, 0), (shared.Traits.WorkerCount, shared.WorkerOf(0), shared.WorkerOf(2)));
        using var apart = new BlockDevice(new NullStore(1 << 20), new BlockDeviceOptions { QueueCount = 3, WorkerPerQueue = true });
        Assert.Equal((3, 0, 2), (apart.Traits.WorkerCount, apart.WorkerOf(0), apart.WorkerOf(2)));
    }

    private static BlkConfig Read(BlockDevice device)
    {
        var bytes = new byte[BlkConfig.SizeBytes];
        device.ReadConfig(0, bytes);
        return MemoryMarshal.Read<BlkConfig>(bytes);
    }
}
