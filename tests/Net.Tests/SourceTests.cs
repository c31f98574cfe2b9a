using System.Buffers.Binary;

namespace Paravane.Backends.Net.Tests;

public sealed class SourceTests
{
    public static TheoryData<Rings> AllRings => RingsExtensions.All;

    [Theory, MemberData(nameof(AllRings))]
    public void Frames_come_as_fast_as_there_is_room_and_are_numbered_without_a_gap(Rings rings)
    {
        using PairRig rig = Open(rings, 64);
        ulong expected = 0;
        for (int round = 0; round < 200; round++)
        {
            while (rig.Receive.Add([rig.Buffer(200)], 0))
            {
            }

            rig.Receive.Publish();
            rig.Run();
            for (; rig.Take() is { } received; expected++)
            {
                Assert.Equal(64, received.Frame.Length);
                Assert.Equal(NetHeader.Plain, received.Header);
                Assert.Equal(expected, BinaryPrimitives.ReadUInt64BigEndian(received.Frame.AsSpan(TestFrame.SequenceOffset)));
                if (expected % 100 == 0)
                {
                    Assert.True(Packets.HasValidChecksum(received.Frame, out _));
                }
            }
        }

        Assert.Equal(200 * 64UL, expected);
    }

    [Theory, MemberData(nameof(AllRings))]
    public void N6_without_buffers_or_with_useless_ones_the_source_sleeps(Rings rings)
    {
        using PairRig rig = Open(rings, 1000);
        rig.Run();
        Assert.True(rig.ReceiveLoop.TryArm());
        Assert.True(rig.Offer(100), "a sleeping source wants to hear of buffers");
        rig.Run();
        Assert.Null(rig.Take());
        for (int i = 0; i < 40; i++)
        {
            rig.Offer(24);
            rig.Run();
            if (rig.Take() is { } merged)
            {
                Assert.True(rings.HasFlag(Rings.Mergeable));
                Assert.Equal(1000, merged.Frame.Length);
            }

            Assert.True(rig.ReceiveLoop.TryArm());
        }
    }

    [Fact]
    public void Transmitted_frames_are_swallowed_with_any_offload()
    {
        using PairRig rig = Open(Rings.Mergeable, 64, NetFeatures.Csum | NetFeatures.HostTso4);
        rig.Send(new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.TcpV4, 54, 10, 34, 16, 0), Frames.Pattern(3000));
        rig.Run();
        Assert.Equal(1, rig.TakeSent());
    }

    [Theory, MemberData(nameof(AllRings))]
    public void Drop_swallows_everything_and_delivers_nothing(Rings rings)
    {
        using var rig = new PairRig(new NetDevice(new DropPort(), new NetSettings()), rings.ToFeatures());
        rig.Offer(1526);
        for (int i = 0; i < 40; i++)
        {
            rig.Send(NetHeader.Plain, Frames.Pattern(64 + i));
        }

        rig.Run();
        Assert.Equal(40, rig.TakeSent());
        Assert.Null(rig.Take());
        Assert.True(rig.ReceiveLoop.TryArm());
        Assert.True(rig.TransmitLoop.TryArm());
    }

    private static PairRig Open(Rings rings, int frameBytes, ulong more = 0) =>
        new(new NetDevice(new SourcePort(frameBytes, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), new NetSettings()), rings.ToFeatures() | more);
}
