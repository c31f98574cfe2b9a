using Paravane.VirtioQueues.Spec;

namespace Paravane.Backends.Net.Tests;

public sealed class DeviceTests
{
    private static readonly byte[] s_mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    [Fact]
    public void Wire_structs_have_the_layout_of_the_specification()
    {
        Assert.Equal(12, System.Runtime.CompilerServices.Unsafe.SizeOf<NetHeader>());
        Assert.Equal(10, System.Runtime.CompilerServices.Unsafe.SizeOf<LegacyNetHeader>());
        var header = new NetHeader((NetHeaderFlags)0x11, (GsoType)0x22, 0x4433, 0x6655, 0x8877, 0xaa99, 0xccbb);
        ReadOnlySpan<byte> bytes = System.Runtime.InteropServices.MemoryMarshal.AsBytes(new ReadOnlySpan<NetHeader>(in header));
        Assert.Equal([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc], bytes.ToArray());
        var legacy = new LegacyNetHeader(header);
        Assert.Equal(bytes[..10].ToArray(), System.Runtime.InteropServices.MemoryMarshal.AsBytes(new ReadOnlySpan<LegacyNetHeader>(in legacy)).ToArray());
    }

    [Fact]
    public void The_configuration_space_says_what_the_options_say()
    {
        using var device = new NetDevice(new LoopPort(), new NetSettings { Mac = s_mac, QueuePairs = 3, MtuBytes = 9000 });
        byte[] space = new byte[NetConfigSpace.SizeBytes];
        device.ReadConfig(0, space);
        Assert.Equal([.. s_mac, 1, 0, 3, 0, 0x28, 0x23, 0xff, 0xff, 0xff, 0xff, 0xff], space[..17]);
        Assert.All(space[17..], value => Assert.Equal(0, value));

        byte[] piece = new byte[4];
        device.ReadConfig(4, piece);
        Assert.Equal(space[4..8], piece);
    }

    [Fact]
    public void The_configuration_space_is_read_only_but_a_migration_may_bring_the_address()
    {
        using var device = new NetDevice(new LoopPort(), new NetSettings { Mac = s_mac });
        Assert.Contains("read-only", device.TryWriteConfig(0, new byte[6], restoring: false)!, StringComparison.Ordinal);
        byte[] before = new byte[NetConfigSpace.SizeBytes];
        device.ReadConfig(0, before);

        byte[] restored = [1, 2, 3, 4, 5, 6, .. before[6..]];
        Assert.Null(device.TryWriteConfig(0, restored, restoring: true));
        byte[] after = new byte[NetConfigSpace.SizeBytes];
        device.ReadConfig(0, after);
        Assert.Equal(restored, after);

        restored[8] = 7; // queue pairs
        Assert.NotNull(device.TryWriteConfig(0, restored, restoring: true));
        Assert.NotNull(device.TryWriteConfig(8, [7], restoring: true));
        device.Reset();
        device.ReadConfig(0, after);
        Assert.Equal(before, after);
    }

    [Fact]
    public void The_next_front_end_finds_the_device_as_it_was_configured()
    {
        using var device = new NetDevice(new LoopPort(), new NetSettings { Mac = s_mac, MtuBytes = 1500 });
        byte[] before = new byte[NetConfigSpace.SizeBytes], after = new byte[NetConfigSpace.SizeBytes];
        device.ReadConfig(0, before);
        Assert.Null(device.TryWriteConfig(0, [1, 2, 3, 4, 5, 6, .. before[6..]], restoring: true));
        Assert.True(device.TrySetMtu(1300));
        device.Reset();
        device.ReadConfig(0, after);
        Assert.Equal(1300, BitConverter.ToUInt16(after, 10)); // a reset leaves the link alone
        device.ForgetFrontend();
        device.ReadConfig(0, after);
        Assert.Equal(before, after);
    }

    [Fact]
    public void Only_what_is_served_is_offered()
    {
        using var loop = new NetDevice(new LoopPort(), new NetSettings());
        Assert.Equal(
            VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | VirtioFeatures.RingPacked | VirtioFeatures.InOrder
            | VirtioFeatures.RingReset | NetFeatures.MrgRxBuf | NetFeatures.Mtu | NetFeatures.Status | NetFeatures.Csum | NetFeatures.GuestCsum
            | NetFeatures.CtrlVq | NetFeatures.CtrlRx | NetFeatures.CtrlMacAddr,
            loop.Traits.Features);

        using var pairs = new NetDevice(new DropPort(), new NetSettings { QueuePairs = 2, Mac = s_mac });
        Assert.Equal(NetFeatures.Mq | NetFeatures.Mac, pairs.Traits.Features & (NetFeatures.Mq | NetFeatures.Mac));
        Assert.Equal(5, pairs.Traits.QueueCount);
    }

    [Theory]
    [InlineData(NetFeatures.GuestTso4, NetFeatures.GuestCsum)]
    [InlineData(NetFeatures.GuestTso6, NetFeatures.GuestCsum)]
    [InlineData(NetFeatures.GuestUso4, NetFeatures.GuestCsum)]
    [InlineData(NetFeatures.GuestUso6, NetFeatures.GuestCsum)]
    [InlineData(NetFeatures.GuestEcn, NetFeatures.GuestTso4 | NetFeatures.GuestCsum)]
    [InlineData(NetFeatures.GuestEcn, NetFeatures.GuestTso6 | NetFeatures.GuestCsum)]
    [InlineData(NetFeatures.HostTso4, NetFeatures.Csum)]
    [InlineData(NetFeatures.HostTso6, NetFeatures.Csum)]
    [InlineData(NetFeatures.HostUso, NetFeatures.Csum)]
    [InlineData(NetFeatures.HostEcn, NetFeatures.HostTso4 | NetFeatures.Csum)]
    [InlineData(NetFeatures.HostEcn, NetFeatures.HostTso6 | NetFeatures.Csum)]
    public void A_feature_without_what_it_needs_counts_as_not_negotiated(ulong feature, ulong needs)
    {
        Assert.Equal(NetFeatures.Mtu, NetFeatures.Usable(NetFeatures.Mtu | feature));
        Assert.Equal(feature | needs, NetFeatures.Usable(feature | needs));
    }

    [Fact]
    public void Several_queue_pairs_need_no_control_queue_since_front_ends_serve_it_themselves()
    {
        const ulong Features = NetFeatures.Mq | NetFeatures.CtrlRx | NetFeatures.CtrlMacAddr;
        Assert.Equal(Features, NetFeatures.Usable(Features));
    }

    [Fact]
    public void A_chain_of_features_falls_with_its_first() =>
        Assert.Equal(0UL, NetFeatures.Usable(NetFeatures.HostSegmentation | NetFeatures.GuestSegmentation));

    [Theory, InlineData(0UL, false), InlineData(67UL, false), InlineData(68UL, true), InlineData(65535UL, true), InlineData(65536UL, false), InlineData(ulong.MaxValue, false)]
    public void An_MTU_is_taken_within_the_limits_of_the_specification(ulong mtu, bool taken)
    {
        using var device = new NetDevice(new LoopPort(), new NetSettings());
        Assert.Equal(taken, device.TrySetMtu(mtu));
        byte[] bytes = new byte[2];
        device.ReadConfig(10, bytes);
        Assert.Equal(taken ? mtu : 1500, BitConverter.ToUInt16(bytes));
    }

    [Fact]
    public void A_source_refuses_an_MTU_below_its_frames()
    {
        using var device = new NetDevice(new SourcePort(1514, s_mac), new NetSettings());
        Assert.True(device.TrySetMtu(1500));
        Assert.False(device.TrySetMtu(1499));
    }

    [Fact]
    public void Queues_of_a_pair_share_a_worker()
    {
        using var one = new NetDevice(new LoopPort(), new NetSettings { QueuePairs = 4 });
        Assert.Equal(1, one.Traits.WorkerCount);
        Assert.All(Enumerable.Range(0, 8), index => Assert.Equal(0, one.WorkerOf(index)));
        using var many = new NetDevice(new LoopPort(), new NetSettings { QueuePairs = 4, WorkerPerPair = true });
        Assert.Equal(4, many.Traits.WorkerCount);
        Assert.Equal([0, 0, 1, 1, 2, 2, 3, 3, 0], Enumerable.Range(0, 9).Select(many.WorkerOf));
    }

    [Fact]
    public void A_reverse_ARP_frame_names_the_address_twice_and_is_broadcast()
    {
        byte[] frame = RarpFrame.For(s_mac);
        Assert.Equal(60, frame.Length);
        Assert.Equal(
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, .. s_mac, 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3, .. s_mac, 0, 0, 0, 0, .. s_mac, 0, 0, 0, 0],
            frame[..42]);
        Assert.All(frame[42..], value => Assert.Equal(0, value));
    }

    [Theory]
    [InlineData("52:54:00:12:34:56", true)]
    [InlineData("2-0-0-0-0-1", true)]
    [InlineData("52:54:00:12:34", false)]
    [InlineData("52:54:00:12:34:56:78", false)]
    [InlineData("53:54:00:12:34:56", false)]
    [InlineData("00:00:00:00:00:00", false)]
    [InlineData("52:54:00:12:34:5g", false)]
    [InlineData("52:54:00:12:34:+5", false)]
    [InlineData("", false)]
    public void Addresses_are_read_as_people_write_them(string text, bool valid) => Assert.Equal(valid, MacAddress.TryParse(text, out _));
}
