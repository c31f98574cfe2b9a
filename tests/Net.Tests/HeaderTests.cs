namespace Paravane.Backends.Net.Tests;

/// <summary>Hostile and odd transmit chains: what must be dropped and counted, and what must pass.</summary>
public sealed class HeaderTests
{
    private const ulong EveryOffload = NetFeatures.Csum | NetFeatures.HostSegmentation;

    public static TheoryData<Rings> AllRings => RingsExtensions.All;

    public static TheoryData<Rings> Formats => RingsExtensions.Formats;

    [Theory, MemberData(nameof(AllRings))]
    public void N1_a_chain_no_longer_than_the_header_is_dropped_and_given_back(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        rig.Offer(1526);
        for (int length = 1; length <= NetHeader.SizeBytes; length++)
        {
            rig.SendRaw(new byte[length]);
            rig.SendRaw(new byte[length], length / 2);
        }

        rig.Run();
        Assert.Equal(2 * NetHeader.SizeBytes, rig.TakeSent());
        Assert.Equal(2 * NetHeader.SizeBytes, rig.Pair.Drops[Drop.NoFrame]);
        Assert.Null(rig.Take());
        AssertStillWorks(rig);
    }

    [Theory, MemberData(nameof(AllRings))]
    public void N1_a_header_over_many_descriptors_is_a_header(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        byte[] frame = Frames.Pattern(200);
        rig.Offer(1526, 1526, 1526);
        rig.Send(NetHeader.Plain, frame, 1, 1, 1, 1, 1, 1, 1);
        rig.Send(NetHeader.Plain, frame, [.. Enumerable.Repeat(1, 212)]); // indirect: one byte in each descriptor
        rig.Send(NetHeader.Plain, frame, 11, 2);
        rig.Run();
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(frame, rig.Take()?.Frame);
        }

        Assert.Equal(3, rig.TakeSent());
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_chain_that_the_driver_marked_as_writable_is_read_and_not_written(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        rig.Offer(1526);
        VirtioQueues.Driver.DriverBuffer buffer = rig.Buffer(NetHeader.SizeBytes + 88);
        byte[] sent = rig.Bytes(NetHeader.Plain, Frames.Pattern(88));
        rig.Arena.Write(buffer.Address, sent);
        rig.Transmit.Add([buffer], 0);
        rig.Transmit.Publish();
        rig.Run();
        Assert.Equal(1, rig.TakeSent());
        Assert.Equal(Frames.Pattern(88), rig.Take()?.Frame);
        Assert.Equal(sent, rig.Arena.Read(buffer.Address, sent.Length));
        AssertStillWorks(rig);
    }

    [Theory, MemberData(nameof(Formats))]
    public void N2_a_checksum_position_beyond_the_frame_is_dropped(Rings rings)
    {
        const int Length = 100;
        ushort[] values = [0, 1, Length - 3, Length - 2, Length - 1, Length, Length + 1, 65533, 65534, 65535];
        foreach (ushort start in values)
        {
            foreach (ushort offset in values)
            {
                using PairRig rig = PairRig.Loop(rings, NetFeatures.Csum | NetFeatures.GuestCsum);
                rig.Offer(1526);
                rig.Send(new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.None, 0, 0, start, offset, 0), Frames.Pattern(Length));
                rig.Run();
                Assert.Equal(1, rig.TakeSent());
                if (start + offset + 2 <= Length)
                {
                    Assert.Equal(new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.None, 0, 0, start, offset, 1), rig.Take()?.Header);
                }
                else
                {
                    Assert.Null(rig.Take());
                    Assert.Equal(1, rig.Pair.Drops[Drop.BadHeader]);
                }
            }
        }
    }

    [Theory, InlineData((ushort)0), InlineData((ushort)1), InlineData((ushort)99), InlineData((ushort)100), InlineData((ushort)101), InlineData((ushort)65535)]
    public void N2_every_field_of_a_segmented_frame_is_checked(ushort value)
    {
        const uint Length = 100;
        Drop whenBeyond = value > Length ? Drop.BadHeader : Drop.None;
        Assert.Equal(whenBeyond, Check(new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.TcpV4, value, 10, 34, 16, 0), Length)); // header length
        Assert.Equal(value == 0 ? Drop.BadHeader : Drop.None, Check(new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.TcpV4, 54, value, 34, 16, 0), Length));
        Assert.Equal(value + 2 > Length ? Drop.BadHeader : Drop.None, Check(new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.TcpV6, 54, 10, value, 0, 0), Length));
        Assert.Equal(value + 2 > Length ? Drop.BadHeader : Drop.None, Check(new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.UdpL4, 42, 10, 0, value, 0), Length));

        // The header length of a frame that is not to be cut is a hint and nothing else.
        Assert.Equal(Drop.None, Check(new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.None, value, value, 34, 16, 0), Length));
    }

    [Fact]
    public void N2_unknown_and_mixed_segmentation_types_are_dropped()
    {
        for (int type = 1; type < 256; type++)
        {
            bool known = (GsoType)type is GsoType.TcpV4 or GsoType.TcpV6 or GsoType.UdpL4 or (GsoType.TcpV4 | GsoType.Ecn) or (GsoType.TcpV6 | GsoType.Ecn);
            Assert.Equal(known ? Drop.None : Drop.NotNegotiated, Check(new NetHeader(NetHeaderFlags.NeedsCsum, (GsoType)type, 54, 10, 34, 16, 0), 100));
        }
    }

    [Fact]
    public void N2_segmentation_without_a_checksum_to_complete_is_dropped()
    {
        Assert.Equal(Drop.BadHeader, Check(new NetHeader(NetHeaderFlags.None, GsoType.TcpV4, 54, 10, 34, 16, 0), 100));
        Assert.Equal(Drop.BadHeader, Check(new NetHeader(NetHeaderFlags.DataValid, GsoType.UdpL4, 54, 10, 34, 6, 0), 100));
    }

    [Fact]
    public void Unknown_flags_are_ignored_and_do_not_reach_the_receiver()
    {
        for (int flags = 0; flags < 256; flags++)
        {
            if ((flags & (int)(NetHeaderFlags.NeedsCsum | NetHeaderFlags.UdpTunnelCsum)) == 0)
            {
                NetHeader header = new((NetHeaderFlags)flags, GsoType.None, 1, 2, 3, 4, 5);
                Assert.Equal(Drop.None, Check(ref header, 100));
                Assert.Equal(NetHeader.Plain, header);
            }
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void N3_frames_shorter_than_an_ethernet_header_are_dropped_and_others_pass(Rings rings)
    {
        for (int length = 0; length < 18; length++)
        {
            using PairRig rig = PairRig.Loop(rings);
            rig.Offer(1526);
            rig.Send(NetHeader.Plain, Frames.Pattern(length));
            rig.Run();
            Assert.Equal(1, rig.TakeSent());
            if (length < 14)
            {
                Assert.Null(rig.Take());
                Assert.Equal(1, rig.Pair.Drops[length == 0 ? Drop.NoFrame : Drop.Runt]);
            }
            else
            {
                Assert.Equal(Frames.Pattern(length), rig.Take()?.Frame);
            }
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void N3_frames_over_the_longest_are_dropped(Rings rings)
    {
        foreach (int length in new[] { FrameLimits.MaxBytes, FrameLimits.MaxBytes + 1, 100_000 })
        {
            using PairRig rig = PairRig.Loop(rings);
            rig.Offer(120_000);
            rig.Send(NetHeader.Plain, Frames.Pattern(length), 4096, 30_000);
            rig.Run();
            Assert.Equal(1, rig.TakeSent());
            Assert.Equal(length <= FrameLimits.MaxBytes ? Frames.Pattern(length) : null, rig.Take()?.Frame);
            Assert.Equal(length <= FrameLimits.MaxBytes ? 0 : 1, rig.Pair.Drops[Drop.Oversize]);
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void N3_frames_over_the_negotiated_MTU_are_dropped_and_those_up_to_it_pass(Rings rings)
    {
        foreach (int length in new[] { 1514, 1518, 1519, 9000 })
        {
            using PairRig rig = PairRig.Loop(rings, NetFeatures.Mtu);
            rig.Offer(10_000);
            rig.Send(NetHeader.Plain, Frames.Pattern(length));
            rig.Run();
            Assert.Equal(length <= 1518, rig.Take() is not null);
            Assert.Equal(length <= 1518 ? 0 : 1, rig.Pair.Drops[Drop.Oversize]);
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void N7_offloads_that_were_not_negotiated_are_dropped(Rings rings)
    {
        NetHeader[] asking =
        [
            new(NetHeaderFlags.NeedsCsum, GsoType.None, 0, 0, 34, 16, 0),
            new(NetHeaderFlags.NeedsCsum, GsoType.TcpV4, 54, 10, 34, 16, 0),
            new(NetHeaderFlags.None, GsoType.TcpV4, 54, 10, 34, 16, 0),
            new(NetHeaderFlags.None, GsoType.Ecn, 54, 10, 34, 16, 0),
            new(NetHeaderFlags.UdpTunnelCsum, GsoType.None, 0, 0, 34, 16, 0),
            new(NetHeaderFlags.NeedsCsum | NetHeaderFlags.UdpTunnelCsum, GsoType.None, 0, 0, 34, 16, 0),
        ];
        using PairRig rig = PairRig.Loop(rings);
        rig.Offer(1526);
        foreach (NetHeader header in asking)
        {
            rig.Send(header, Frames.Pattern(100));
        }

        rig.Run();
        Assert.Equal(asking.Length, rig.TakeSent());
        Assert.Equal(asking.Length, rig.Pair.Drops[Drop.NotNegotiated]);
        Assert.Null(rig.Take());
        AssertStillWorks(rig);
    }

    [Theory]
    [InlineData(NetFeatures.HostTso4, (byte)GsoType.TcpV4)]
    [InlineData(NetFeatures.HostTso6, (byte)GsoType.TcpV6)]
    [InlineData(NetFeatures.HostUso, (byte)GsoType.UdpL4)]
    [InlineData(NetFeatures.HostTso4 | NetFeatures.HostEcn, (byte)(GsoType.TcpV4 | GsoType.Ecn))]
    [InlineData(NetFeatures.HostTso6 | NetFeatures.HostEcn, (byte)(GsoType.TcpV6 | GsoType.Ecn))]
    public void N7_each_segmentation_type_needs_its_own_feature(ulong needed, byte type)
    {
        var header = new NetHeader(NetHeaderFlags.NeedsCsum, (GsoType)type, 54, 10, 34, 16, 0);
        Assert.Equal(Drop.None, Check(header, 100, NetFeatures.Csum | needed));
        foreach (ulong bit in new[] { NetFeatures.HostTso4, NetFeatures.HostTso6, NetFeatures.HostUso, NetFeatures.HostEcn, NetFeatures.Csum })
        {
            if ((needed & bit) != 0 || bit == NetFeatures.Csum)
            {
                Assert.Equal(Drop.NotNegotiated, Check(header, 100, EveryOffload & ~bit));
            }
        }
    }

    private static void AssertStillWorks(PairRig rig)
    {
        rig.Offer(1526);
        rig.Send(NetHeader.Plain, Frames.Pattern(64));
        rig.Run();
        Assert.Equal(Frames.Pattern(64), rig.Take()?.Frame);
        Assert.Equal(1, rig.TakeSent());
    }

    private static Drop Check(NetHeader header, uint frameBytes, ulong features = EveryOffload) => Check(ref header, frameBytes, features);

    private static Drop Check(ref NetHeader header, uint frameBytes, ulong features = EveryOffload) => HeaderCheck.Run(ref header, frameBytes, features);
}
