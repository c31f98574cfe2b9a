using CsCheck;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Backends.Net.Tests;

public sealed class LoopTests
{
    public static TheoryData<Rings> AllRings => RingsExtensions.All;

    [Theory, MemberData(nameof(AllRings))]
    public void A_frame_comes_back_byte_for_byte_under_a_header_of_its_own(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings);
        byte[] frame = Frames.Pattern(64);
        rig.Offer(1526);
        rig.Send(new NetHeader(NetHeaderFlags.DataValid, GsoType.None, 77, 99, 11, 22, 33), frame);
        rig.Run();

        Received received = Assert.IsType<Received>(rig.Take());
        Assert.Equal(frame, received.Frame);
        Assert.Equal(NetHeader.Plain, received.Header);
        Assert.Equal(1, rig.TakeSent());
        Assert.Equal(0, rig.Pair.Drops.Total);
    }

    [Theory, MemberData(nameof(AllRings))]
    public void Frames_of_any_length_and_cut_come_back_identical_and_in_order(Rings rings)
    {
        Gen<(int Length, int[] Cuts)> frames = Gen.Select(Gen.OneOf(Gen.Int[14, 200], Gen.Int[1400, 1600], Gen.Int[14, 9000]), Gen.Int[1, 700].Array[0, 6]);
        Gen.Select(frames.Array[1, 60], Gen.Int[1, 7]).Sample(
            (sent, step) =>
            {
                using PairRig rig = PairRig.Loop(rings);
                int[] buffers = rings.HasFlag(Rings.Mergeable) ? [256, 1526, 12, 600] : [9100];
                int received = 0, offered = 0;
                for (int i = 0; i < sent.Length || received < sent.Length;)
                {
                    // A few frames at a time, and never quite enough buffers: everything waits for room now and then.
                    for (int end = Math.Min(i + step, sent.Length); i < end; i++)
                    {
                        rig.Send(NetHeader.Plain, Frames.Pattern(sent[i].Length, (byte)i), sent[i].Cuts);
                    }

                    for (int free = 0; free < 40 && rig.Receive.Add([rig.Buffer(buffers[offered % buffers.Length])], 0); free++)
                    {
                        offered++;
                    }

                    rig.Receive.Publish();
                    rig.Run();
                    rig.TakeSent();
                    for (; rig.Take() is { } frame; received++)
                    {
                        Assert.Equal(Frames.Pattern(sent[received].Length, (byte)received), frame.Frame);
                    }
                }

                Assert.Equal(0, rig.Pair.Drops.Total);
            },
            iter: 30);
    }

    [Theory, MemberData(nameof(AllRings))]
    public void More_frames_than_the_rings_hold_go_round_and_round(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings, size: 32);
        int sent = 0, received = 0;
        var frames = new List<VirtioQueues.Driver.DriverBuffer>();
        for (int i = 0; i < 32; i++)
        {
            frames.Add(rig.Buffer(NetHeader.SizeBytes + 60));
            rig.Receive.Add([rig.Buffer(1526)], 0);
        }

        rig.Receive.Publish();
        while (received < 5_000)
        {
            while (rig.Transmit.Add([frames[sent % 32]], 1))
            {
                rig.Arena.Write(frames[sent % 32].Address, rig.Bytes(NetHeader.Plain, Frames.Pattern(60, (byte)sent)));
                sent++;
            }

            rig.Transmit.Publish();
            rig.Run();
            rig.TakeSent();
            while (rig.Receive.TryTake(out VirtioQueues.Driver.DriverBuffer[] buffers, out uint written))
            {
                Assert.Equal(NetHeader.SizeBytes + 60u, written);
                Assert.Equal(Frames.Pattern(60, (byte)received), rig.Arena.Read(buffers[0].Address, 72)[12..]);
                rig.Receive.Add(buffers, 0);
                received++;
            }

            rig.Receive.Publish();
        }

        Assert.Equal(0, rig.Pair.Drops.Total);
    }

    [Theory, MemberData(nameof(AllRings))]
    public void Every_frame_has_a_header_of_its_own_whatever_stood_in_its_buffer_before(Rings rings)
    {
        // Stretches of buffers with the right header in them, with a wrong one, and of both, longer than the device remembers what it found.
        using PairRig rig = PairRig.Loop(rings);
        var random = new Random(11);
        byte[] plain = rig.Bytes(NetHeader.Plain, []);
        int sent = 0;
        for (int stretch = 0; stretch < 12; stretch++)
        {
            for (int round = 0; round < 100; round++)
            {
                int frames = random.Next(1, 24);
                for (int i = 0; i < frames; i++)
                {
                    VirtioQueues.Driver.DriverBuffer buffer = rig.Buffer(256);
                    byte[] before = [.. plain];
                    if (stretch % 3 == 1 || (stretch % 3 == 2 && random.Next(2) == 0))
                    {
                        before[random.Next(before.Length)] ^= (byte)(1 << random.Next(8)); // one bit is enough to be wrong
                    }

                    rig.Arena.Write(buffer.Address, before);
                    Assert.True(rig.Receive.Add([buffer], 0));
                    rig.Send(NetHeader.Plain, Frames.Pattern(60, (byte)(sent + i)));
                }

                rig.Receive.Publish();
                rig.Run();
                Assert.Equal(frames, rig.TakeSent());
                for (int i = 0; i < frames; i++, sent++)
                {
                    Received received = Assert.IsType<Received>(rig.Take());
                    Assert.Equal(NetHeader.Plain, received.Header);
                    Assert.Equal(Frames.Pattern(60, (byte)sent), received.Frame);
                }
            }
        }
    }

    [Fact]
    public void A_legacy_driver_without_merged_buffers_has_a_header_of_ten_bytes()
    {
        var device = new NetDevice(new LoopPort(), new NetSettings());
        using var rig = new PairRig(device, VirtioFeatures.IndirectDesc);
        rig.Offer(1514);
        rig.Send(NetHeader.Plain, Frames.Pattern(100), 10, 50);
        rig.Run();
        Assert.Equal(10, rig.HeaderBytes);
        Assert.Equal(Frames.Pattern(100), rig.Take()?.Frame);
    }

    [Fact]
    public void A_disabled_transmit_queue_gives_its_frames_back_and_delivers_none()
    {
        using PairRig rig = PairRig.Loop(Rings.Mergeable);
        rig.TransmitLoop.Queue.Enabled = false;
        rig.Offer(1526);
        rig.Send(NetHeader.Plain, Frames.Pattern(64));
        rig.Run();
        Assert.Equal(1, rig.TakeSent());
        Assert.Null(rig.Take());
        Assert.Equal(1, rig.Pair.Drops[Drop.Disabled]);
    }

    [Fact]
    public void Frames_for_a_disabled_receive_queue_are_lost_and_counted()
    {
        using PairRig rig = PairRig.Loop(Rings.Mergeable);
        rig.ReceiveLoop.Queue.Enabled = false;
        rig.Offer(1526);
        rig.Send(NetHeader.Plain, Frames.Pattern(64));
        rig.Run();
        Assert.Equal(1, rig.TakeSent());
        Assert.Null(rig.Take());
        Assert.Equal(1, rig.Pair.Drops[Drop.Disabled]);

        rig.ReceiveLoop.Queue.Enabled = true;
        rig.Send(NetHeader.Plain, Frames.Pattern(64));
        rig.Run();
        Assert.NotNull(rig.Take());
    }

    [Theory, MemberData(nameof(AllRings))]
    public void Nothing_is_allocated_for_any_number_of_frames(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings, size: 256);
        var buffers = new VirtioQueues.Driver.DriverBuffer[256][];
        for (int i = 0; i < buffers.Length; i++)
        {
            buffers[i] = [rig.Buffer(NetHeader.SizeBytes + 64)];
        }

        long allocated = 0;
        int frames = 0;
        for (int round = 0; round < 100; round++)
        {
            while (rig.Receive.Add(buffers[0], 0))
            {
            }

            while (rig.Transmit.Add(buffers[1], 1))
            {
            }

            rig.Receive.Publish();
            rig.Transmit.Publish();

            // The first rounds compile and warm up.
            long before = GC.GetAllocatedBytesForCurrentThread();
            rig.Run();
            allocated = round < 10 ? 0 : allocated + GC.GetAllocatedBytesForCurrentThread() - before;
            frames += rig.TakeSent();
            while (rig.Receive.TryTake(out _, out _))
            {
            }
        }

        Assert.Equal(100 * 256, frames);
        Assert.Equal(0, allocated);
    }
}
