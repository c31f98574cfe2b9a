using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Net.Tests;

/// <summary>Receive buffers: too few, too small, useless, none.</summary>
public sealed class RoomTests
{
    public static TheoryData<Rings> AllRings => RingsExtensions.All;

    [Theory, MemberData(nameof(AllRings))]
    public void N4_a_receive_chain_without_room_for_a_header_goes_back_empty_and_the_frame_uses_the_next(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        rig.Receive.Add([rig.Buffer(2000)], 1); // nothing writable at all
        rig.Receive.Add([rig.Buffer(NetHeader.SizeBytes - 1)], 0);
        rig.Offer(1526);
        rig.Send(NetHeader.Plain, Frames.Pattern(64));
        rig.Run();
        for (int i = 0; i < 2; i++)
        {
            Assert.True(rig.Receive.TryTake(out _, out uint written));
            Assert.Equal(0u, written);
        }

        Assert.Equal(Frames.Pattern(64), rig.Take()?.Frame);
        Assert.Equal(1, rig.TakeSent());
    }

    [Theory, MemberData(nameof(AllRings))]
    public void N4_a_buffer_of_exactly_the_right_size_is_enough_and_one_byte_less_is_not(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        const int Exact = NetHeader.SizeBytes + 100;
        rig.Offer(Exact);
        rig.Send(NetHeader.Plain, Frames.Pattern(100));
        rig.Run();
        Assert.Equal(Frames.Pattern(100), rig.Take()?.Frame);

        rig.Offer(Exact - 1);
        rig.Send(NetHeader.Plain, Frames.Pattern(100, 2));
        rig.Run();
        Assert.Null(rig.Take());
        if (rings.HasFlag(Rings.Mergeable))
        {
            // The buffer stays where it is until there is another one for the last byte.
            Assert.Equal(1, rig.TakeSent());
            rig.Offer(Exact - 1);
            rig.Run();
            Received received = Assert.IsType<Received>(rig.Take());
            Assert.Equal(2, received.Header.NumBuffers);
            Assert.Equal(Frames.Pattern(100, 2), received.Frame);
            Assert.Equal(0, rig.Pair.Drops.Total);
        }
        else
        {
            // The frame can never be received; the buffer is kept for one that can.
            Assert.Equal(2, rig.TakeSent());
            Assert.Equal(1, rig.Pair.Drops[Drop.Overrun]);
            rig.Send(NetHeader.Plain, Frames.Pattern(99, 3));
            rig.Run();
            Assert.Equal(Frames.Pattern(99, 3), rig.Take()?.Frame);
        }
    }

    [Theory]
    [InlineData(Rings.Mergeable, false)]
    [InlineData(Rings.Mergeable, true)]
    [InlineData(Rings.Mergeable | Rings.Packed, false)]
    [InlineData(Rings.Mergeable | Rings.Packed, true)]
    public void R13_receive_buffers_that_are_offered_again_while_their_frame_is_on_its_way_break_the_queue(Rings rings, bool recorded)
    {
        const int Size = 2;
        RingFormat format = rings.HasFlag(Rings.Packed) ? RingFormat.Packed : RingFormat.Split;
        using MemFd file = InflightRecord.Create(format, 2, Size);
        using InflightRecord? record = recorded ? InflightRecord.Map(file, 0, file.LengthBytes, 2, Size) : null;
        using var rig = new PairRig(new NetDevice(new LoopPort(), new NetSettings()), rings.ToFeatures(), Size, record: record);
        rig.Offer(100, 100);
        rig.Send(NetHeader.Plain, Frames.Pattern(300)); // never fits; the device keeps both buffers at hand
        rig.Run();
        Assert.Equal(1, rig.Pair.Drops[Drop.Overrun]);
        Assert.Equal(1, rig.TakeSent());

        // The driver forgets that they are not its own.
        QueueState next = format == RingFormat.Packed ? QueueState.Packed(0, false, 0, false) : QueueState.Split(Size);
        DriverQueue again = DriverQueue.Open(rig.ReceiveRing with { Start = next });
        Assert.True(again.Add([rig.Buffer(100)], 0) && again.Add([rig.Buffer(100)], 0));
        again.Publish();
        rig.Send(NetHeader.Plain, Frames.Pattern(138));
        rig.Send(NetHeader.Plain, Frames.Pattern(138));
        rig.Run();
        Assert.Equal(ChainFault.TooManyInFlight, rig.ReceiveLoop.Queue.Fault);
        Assert.Equal(Size, rig.ReceiveLoop.Queue.Completed);
        Assert.Equal(1, rig.TakeSent());
    }

    [Theory, InlineData(Rings.Mergeable), InlineData(Rings.Mergeable | Rings.Packed), InlineData(Rings.Mergeable | Rings.Packed | Rings.InOrder | Rings.EventIdx)]
    public void N4_a_frame_that_needs_more_buffers_than_the_ring_holds_is_dropped_and_takes_none(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings, size: 8);
        for (int i = 0; i < 8; i++)
        {
            rig.Receive.Add([rig.Buffer(100)], 0);
        }

        rig.Receive.Publish();
        rig.Send(NetHeader.Plain, Frames.Pattern((8 * 100) - NetHeader.SizeBytes + 1));
        rig.Run();
        Assert.Equal(1, rig.TakeSent());
        Assert.Null(rig.Take());
        Assert.Equal(1, rig.Pair.Drops[Drop.Overrun]);

        byte[] largest = Frames.Pattern((8 * 100) - NetHeader.SizeBytes, 9);
        rig.Send(NetHeader.Plain, largest);
        rig.Run();
        Received received = Assert.IsType<Received>(rig.Take());
        Assert.Equal(8, received.Header.NumBuffers);
        Assert.Equal(largest, received.Frame);
    }

    [Theory, InlineData(Rings.Mergeable), InlineData(Rings.Mergeable | Rings.Packed)]
    public void A_frame_of_64_KiB_fills_many_merged_buffers_however_each_is_cut(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings, size: 128);
        for (int i = 0; i < 30; i++)
        {
            rig.Receive.Add([rig.Buffer(1), rig.Buffer(1000), rig.Buffer(1525)], 0);
        }

        rig.Receive.Publish();
        byte[] frame = Frames.Pattern(65_000);
        rig.Send(NetHeader.Plain, frame, 5, 3000, 17, 40_000);
        rig.Run();
        Assert.Equal(frame, rig.Take()?.Frame);
        Assert.Null(rig.Take());
    }

    [Theory, MemberData(nameof(AllRings))]
    public void N6_without_receive_buffers_frames_wait_in_their_ring_and_nobody_spins(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        for (int i = 0; i < 10; i++)
        {
            rig.Send(NetHeader.Plain, Frames.Pattern(64, (byte)i));
        }

        rig.Run();
        Assert.Equal(0, rig.TakeSent());

        // Both sides may sleep at once: the transmit queue wants no kick, whatever is offered, and the receive queue wants one.
        Assert.True(rig.ReceiveLoop.TryArm());
        Assert.True(rig.TransmitLoop.TryArm());
        Assert.Equal(-1, rig.ReceiveLoop.WakeDescriptor);
        Assert.False(rig.ReceiveLoop.RunBatch() || rig.TransmitLoop.RunBatch());

        Assert.True(rig.Offer(1526), "the first buffer ends the wait with a kick");
        rig.Run();
        Assert.Equal(Frames.Pattern(64, 0), rig.Take()?.Frame);
        Assert.Equal(1, rig.TakeSent());

        Assert.True(rig.ReceiveLoop.TryArm());
        for (int i = 1; i < 10; i++)
        {
            rig.Offer(1526);
        }

        rig.Run();
        for (int i = 1; i < 10; i++)
        {
            Assert.Equal(Frames.Pattern(64, (byte)i), rig.Take()?.Frame);
        }

        Assert.Equal(0, rig.Pair.Drops.Total);
    }

    [Theory, MemberData(nameof(AllRings))]
    public void N6_buffers_that_came_before_arming_keep_the_worker_awake(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        rig.Send(NetHeader.Plain, Frames.Pattern(64));
        rig.Run();
        rig.Offer(1526);
        Assert.False(rig.ReceiveLoop.TryArm());
        rig.Run();
        Assert.NotNull(rig.Take());
    }

    [Theory, MemberData(nameof(AllRings))]
    public void A_driver_that_only_refills_its_buffers_is_never_asked_to_kick(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        rig.Run();
        Assert.True(rig.ReceiveLoop.TryArm());
        Assert.True(rig.TransmitLoop.TryArm());
        bool kicked = false;
        for (int round = 0; round < 10; round++)
        {
            kicked |= rig.Offer(1526) && round > 0; // a fresh event index asks for the very first
            rig.Send(NetHeader.Plain, Frames.Pattern(64));
            rig.Run();
            rig.ReceiveLoop.TryArm();
            rig.TransmitLoop.TryArm();
            Assert.NotNull(rig.Take());
            rig.TakeSent();
        }

        Assert.False(kicked);
    }

    [Fact]
    public void Without_an_event_index_a_looped_receive_queue_says_from_the_start_that_it_wants_no_kicks()
    {
        using PairRig rig = PairRig.Loop(Rings.Plain);
        Assert.False(rig.Offer(1526));
        using PairRig packed = PairRig.Loop(Rings.Packed);
        Assert.False(packed.Offer(1526));
    }

    [Theory, MemberData(nameof(AllRings))]
    public void A_queue_that_stops_while_frames_wait_gives_them_back_untaken(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        for (int i = 0; i < 5; i++)
        {
            rig.Send(NetHeader.Plain, Frames.Pattern(64));
        }

        rig.Run();
        VirtioQueues.QueueState before = rig.TransmitLoop.Queue.State;
        rig.TransmitLoop.Queue.ReturnUnused();
        Assert.Equal(0, rig.TransmitLoop.Queue.InFlight);
        Assert.NotEqual(before, rig.TransmitLoop.Queue.State);
        Assert.Equal(
            VirtioQueues.QueueState.Fresh(rings.HasFlag(Rings.Packed) ? VirtioQueues.RingFormat.Packed : VirtioQueues.RingFormat.Split),
            rig.TransmitLoop.Queue.State);
    }
}
