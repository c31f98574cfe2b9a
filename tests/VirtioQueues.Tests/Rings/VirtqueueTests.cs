using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Rings;

/// <summary>The queue between ring and device: window, tokens, stop, remap, call, log. One body for both formats.</summary>
public abstract class VirtqueueTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private static QueueState Start(int lapsAndSlots, int size) => RingRig<TRing, TDriver>.Packed
        ? QueueState.Packed((ushort)(lapsAndSlots % size), lapsAndSlots / size % 2 == 0, (ushort)(lapsAndSlots % size), lapsAndSlots / size % 2 == 0)
        : QueueState.Split((ushort)lapsAndSlots);

    [Fact]
    public void The_window_keeps_its_order_however_it_is_filled_and_consumed()
    {
        using var rig = new RingRig<TRing, TDriver>(256);
        var random = new Random(1);
        int sent = 0, seen = 0;
        for (int turn = 0; seen < 20_000; turn++)
        {
            Assert.True(turn < 20_000, "progress");
            for (int i = random.Next(80); i > 0 && rig.Send(0, (uint)(sent % 1000) + 1); i--)
            {
                sent++;
            }

            rig.Driver.Publish();
            int wanted = random.Next(100), before = rig.Queue.Window, filled = rig.Queue.Fill(wanted);
            Assert.InRange(filled, before, Math.Max(before, Math.Min(wanted, Virtqueue<TRing>.WindowSize)));
            Assert.Equal(Math.Max(before, Math.Min(Math.Min(wanted, 64), sent - seen)), filled);
            for (int i = 0; i < filled; i++)
            {
                Assert.Equal((uint)((seen + i) % 1000) + 1, rig.Queue.Peek(i).ReadableBytes);
            }

            int consumed = random.Next(filled + 1);
            for (int i = 0; i < consumed; i++)
            {
                rig.Queue.Complete(rig.Queue.Peek(i).Token, 0);
            }

            rig.Queue.Consume(consumed);
            seen += consumed;
            rig.Queue.Publish();
            while (rig.Driver.TryGetUsed(out _, out _))
            {
            }

            Assert.Equal(0, rig.Queue.InFlight);
        }

        Assert.Equal(seen, rig.Queue.Completed);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(6)]
    [InlineData(13)]
    [InlineData(0xfffc)]
    public void What_was_filled_and_not_consumed_is_given_back_and_taken_again_from_the_state(int start)
    {
        const int Size = 8;
        int begin = RingRig<TRing, TDriver>.Packed ? start % (2 * Size) : start;
        using var rig = new RingRig<TRing, TDriver>(Size, start: Start(begin, Size));
        for (ushort i = 0; i < 3; i++)
        {
            Assert.True(rig.Driver.TryAdd([rig.Buffer(i + 1u), rig.Buffer(10)], 1, i));
        }

        rig.Driver.Publish();
        Assert.Equal(3, rig.Queue.Fill(64));
        rig.Queue.Complete(rig.Queue.Peek(0).Token, 1);
        rig.Queue.Consume(1);
        rig.Queue.ReturnUnused();
        rig.Queue.Publish();
        Assert.Equal((0, 0), (rig.Queue.Window, rig.Queue.InFlight));
        int moved = begin + (RingRig<TRing, TDriver>.Packed ? 2 : 1);
        Assert.Equal(Start(RingRig<TRing, TDriver>.Packed ? moved % (2 * Size) : moved, Size), rig.Queue.State);

        QueueState state = rig.Queue.State;
        rig.Queue.Dispose();
        rig.Queue = new Virtqueue<TRing>(rig.Config with { State = state }, rig.Memory.Table);
        Assert.Equal(2, rig.Queue.Fill(64));
        Assert.Equal((2u, 3u), (rig.Queue.Peek(0).ReadableBytes, rig.Queue.Peek(1).ReadableBytes));
        Assert.Equal(2, rig.Serve(writtenBytes: 2));
        for (ushort i = 0; i < 3; i++)
        {
            Assert.True(rig.Driver.TryGetUsed(out ushort cookie, out uint written));
            Assert.Equal((i, i == 0 ? 1u : 2u), (cookie, written));
        }

        Assert.Equal(DriverFault.None, rig.Driver.Fault);
        Assert.Equal(Size, rig.Driver.FreeDescriptors);
    }

    [Fact]
    public void R15_a_queue_stopped_at_any_step_of_a_request_loses_and_repeats_nothing_and_writes_nothing_afterwards()
    {
        var random = new Random(15);
        using var rig = new RingRig<TRing, TDriver>(16);
        int sent = 0, received = 0;
        for (int turn = 0; received < 2_000; turn++)
        {
            Assert.True(turn < 20_000, "progress");
            while (sent - received < 9 && rig.Driver.TryAdd([rig.Buffer((uint)(sent % 100) + 1), rig.Buffer(200)], 1, (ushort)sent))
            {
                sent++;
            }

            rig.Driver.Publish();
            int filled = rig.Queue.Fill(random.Next(10)), consumed = random.Next(filled + 1), early = random.Next(consumed + 1);
            var tokens = new List<ChainToken>();
            for (int i = 0; i < consumed; i++)
            {
                tokens.Add(rig.Queue.Peek(i).Token);
            }

            rig.Queue.Consume(consumed);
            for (int i = 0; i < tokens.Count; i++)
            {
                if (i == early)
                {
                    rig.Queue.Publish(); // the rest of them completes while the queue stops
                }

                rig.Queue.Complete(tokens[i], rig.Queue[tokens[i]].ReadableBytes);
            }

            rig.Queue.ReturnUnused();
            rig.Queue.Publish();
            Assert.Equal(0, rig.Queue.InFlight);
            QueueState state = rig.Queue.State;
            byte[] stopped = rig.Memory.Bytes(new GuestAddress(TestMemory.Base), 1 << 16).ToArray();
            rig.Queue.Dispose();
            Assert.True(rig.Memory.Bytes(new GuestAddress(TestMemory.Base), 1 << 16).SequenceEqual(stopped));
            rig.Queue = new Virtqueue<TRing>(rig.Config with { State = state }, rig.Memory.Table);
            while (rig.Driver.TryGetUsed(out ushort cookie, out uint written))
            {
                Assert.Equal(((ushort)received, (uint)(received % 100) + 1), (cookie, written));
                received++;
            }

            Assert.Equal(DriverFault.None, rig.Driver.Fault);
            Assert.Equal(ChainFault.None, rig.Queue.Fault);
        }
    }

    [Fact]
    public void A_paused_queue_takes_nothing_and_finishes_what_it_has()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        rig.Send(1);
        rig.Send(2);
        rig.Driver.Publish();
        Assert.Equal(1, rig.Queue.Fill(1));
        ChainToken token = rig.Queue.Peek(0).Token;
        rig.Queue.Consume(1);
        rig.Queue.FetchPaused = true;
        Assert.Equal(0, rig.Queue.Fill(8));
        Assert.True(rig.Queue.TryArm());
        rig.Queue.Complete(token, 0);
        rig.Queue.Publish();
        Assert.True(rig.Driver.TryGetUsed(out ushort cookie, out _));
        Assert.Equal(1, cookie);
        rig.Queue.FetchPaused = false;
        Assert.False(rig.Queue.TryArm());
        Assert.Equal(1, rig.Queue.Fill(8));
    }

    [Fact]
    public void A_token_completes_once_and_foreign_tokens_never()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        rig.Send(1);
        rig.Driver.Publish();
        Assert.Equal(1, rig.Queue.Fill(1));
        ChainToken token = rig.Queue.Peek(0).Token;
        rig.Queue.Consume(1);
        rig.Queue.Complete(token, 0);
        Assert.Throws<InvalidOperationException>(() => rig.Queue.Complete(token, 0));
        Assert.Throws<InvalidOperationException>(() => rig.Queue.Complete(new ChainToken(3), 0));
        Assert.Throws<InvalidOperationException>(() => rig.Queue.Complete(new ChainToken(8), 0));
        Assert.Throws<InvalidOperationException>(() => rig.Queue.Complete(new ChainToken(ushort.MaxValue), 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.Peek(0).Token);
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.Peek(-1).Token);
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.Consume(1));
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.Consume(-1));
    }

    [Fact]
    public void The_window_shows_which_chains_are_one_piece_and_only_those()
    {
        using var rig = new RingRig<TRing, TDriver>(16);
        rig.Send(1, 100);
        rig.Offer(2, 200);
        Assert.True(rig.Driver.TryAdd([rig.Buffer(10), rig.Buffer(20)], 2, 3)); // two readable
        Assert.True(rig.Driver.TryAdd([rig.Buffer(10), rig.Buffer(20)], 1, 4)); // one of each
        Assert.True(rig.Driver.TryAdd([rig.Buffer(10), rig.Buffer(20)], 0, 5)); // two writable
        rig.Driver.Publish();
        Assert.Equal(5, rig.Queue.Fill(5));
        ChainWindow chains = rig.Queue.Chains;
        Assert.Equal(5, chains.Count);
        uint[] readable = new uint[5], writable = new uint[5];
        for (int i = 0; i < 5; i++)
        {
            readable[i] = chains.OnlyReadable(i).LengthBytes;
            writable[i] = chains.OnlyWritable(i).LengthBytes;
            Assert.Equal((rig.Queue.Peek(i).ReadableBytes, rig.Queue.Peek(i).WritableBytes), (chains[i].ReadableBytes, chains[i].WritableBytes));
            Assert.Equal(rig.Queue.Peek(i).Token, chains[i].Token);
        }

        Assert.Equal([100u, 0, 0, 0, 0], readable);
        Assert.Equal([0, 200u, 0, 0, 0], writable);
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.Chains.OnlyReadable(5));
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.Chains.OnlyWritable(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = rig.Queue.Chains[5].ReadableBytes);
        rig.Queue.ReturnUnused();
    }

    [Fact]
    public void A_run_of_chains_completes_once_and_only_inside_the_window()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        for (ushort cookie = 1; cookie <= 4; cookie++)
        {
            rig.Send(cookie);
        }

        rig.Driver.Publish();
        Assert.Equal(4, rig.Queue.Fill(4));
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.CompleteRun(-1, 1, []));
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.CompleteRun(0, 5, []));
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.CompleteRun(5, 0, []));
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Queue.CompleteRun(0, 2, [1]));
        rig.Queue.CompleteRun(1, 2, []);
        Assert.Throws<InvalidOperationException>(() => rig.Queue.CompleteRun(2, 1, []));
        rig.Queue.CompleteRun(0, 1, []);
        rig.Queue.CompleteRun(3, 1, []);
        rig.Queue.Consume(4);
        rig.Queue.Publish();
        Assert.Equal((0, 4L), (rig.Queue.InFlight, rig.Queue.Completed));
        int[] cookies = new int[4];
        for (int i = 0; i < 4; i++)
        {
            Assert.True(rig.Driver.TryGetUsed(out ushort cookie, out _));
            cookies[i] = cookie;
        }

        Assert.Equal([2, 3, 1, 4], cookies);
    }

    [Fact]
    public void A_new_call_descriptor_is_signalled_at_once_and_then_once_a_publication()
    {
        using var rig = new RingRig<TRing, TDriver>(8, VirtioFeatures.Version1);
        using var call = new EventFd();
        rig.Queue.SetCall(call.Duplicate());
        Assert.True(call.Drain());
        rig.Send(1);
        rig.Send(2);
        rig.Driver.Publish();
        rig.Serve();
        Assert.True(call.Drain()); // after a start the driver's view is unknown: called whatever it asked for
        Assert.Equal(1, rig.Queue.Calls);
        rig.Queue.Publish();
        Assert.False(call.Drain()); // nothing completed
        Assert.True(rig.Driver.TryGetUsed(out _, out _));
        rig.Send(3);
        rig.Driver.Publish();
        rig.Serve();
        Assert.False(call.Drain()); // switched off since the driver opened the ring
        rig.Queue.SetCall(null);
        rig.Send(4);
        rig.Driver.Publish();
        rig.Serve();
        Assert.Equal(1, rig.Queue.Calls);
    }

    [Fact]
    public void Chains_of_many_buffers_wait_for_room_instead_of_breaking_the_queue()
    {
        const int Size = 512, Buffers = 8;
        using var rig = new RingRig<TRing, TDriver>(Size, indirectEntries: Buffers);
        var list = new DriverBuffer[Buffers];
        Array.Fill(list, rig.Buffer(3));
        int sent = 0;
        while (rig.Driver.TryAdd(list, Buffers, (ushort)sent, indirect: true))
        {
            sent++;
        }

        Assert.Equal(Size, sent);
        rig.Driver.Publish();
        var inFlight = new Queue<ChainToken>();
        int count;
        while ((count = rig.Queue.Fill(64)) > 0)
        {
            for (int i = 0; i < count; i++)
            {
                inFlight.Enqueue(rig.Queue.Peek(i).Token);
            }

            rig.Queue.Consume(count);
        }

        Assert.Equal(ChainFault.None, rig.Queue.Fault);
        Assert.InRange(inFlight.Count, 1, Size - 1);
        Assert.True(rig.Queue.TryArm()); // its own completions wake it, not the driver
        int completed = 0;
        while (inFlight.TryDequeue(out ChainToken token))
        {
            Assert.Equal((uint)Buffers * 3, rig.Queue[token].ReadableBytes);
            rig.Queue.Complete(token, 0);
            completed++;
            if (rig.Queue.Fill(1) == 1)
            {
                inFlight.Enqueue(rig.Queue.Peek(0).Token);
                rig.Queue.Consume(1);
            }
        }

        Assert.Equal(Size, completed);
        Assert.True(rig.Queue.TryArm());
        Assert.Equal(ChainFault.None, rig.Queue.Fault);
    }

    [Fact]
    public void Chunks_of_chains_that_are_given_back_are_not_lost()
    {
        using var rig = new RingRig<TRing, TDriver>(16, indirectEntries: 8);
        var list = new DriverBuffer[8];
        Array.Fill(list, rig.Buffer(3));
        for (int i = 0; i < 1_000; i++)
        {
            Assert.True(rig.Driver.TryAdd(list, 8, 0, indirect: true));
            rig.Driver.Publish();
            Assert.Equal(1, rig.Queue.Fill(1));
            rig.Queue.ReturnUnused(); // gives slot and chunk back
            Assert.Equal(1, rig.Serve());
            Assert.True(rig.Driver.TryGetUsed(out _, out _));
        }
    }

    [Fact]
    public void A4_a_table_that_keeps_the_regions_in_use_may_come_at_any_time()
    {
        using var two = new TwoRegions();
        using var rig = new SharedRig<TRing>(two.Table, 8);
        var raw = new RawDriverOver(two.Table, rig.Config);
        raw.Offer(TwoRegions.Data, 16, 0);
        raw.Offer(TwoRegions.Data + 16, 8, 0);
        Assert.Equal(2, rig.Queue.Fill(8));
        ChainToken token = rig.Queue.Peek(0).Token;
        rig.Queue.Consume(1);
        GuestMemory without = GuestMemory.Of([two.LowRegion]);
        Assert.False(rig.Queue.MustDrainFor(without)); // neither the ring nor the chain lies in what goes away
        Assert.True(rig.Queue.TryRemap(rig.Config, without));
        Assert.Equal(0, rig.Queue.Window); // what was only looked at is translated again
        Assert.Equal(1, rig.Queue.InFlight);
        rig.Queue.Complete(token, 0);
        Assert.Equal(1, rig.Queue.Fill(8));
        Assert.Equal(8u, rig.Queue.Peek(0).ReadableBytes);
        rig.Queue.Complete(rig.Queue.Peek(0).Token, 0);
        rig.Queue.Consume(1);
        rig.Queue.Publish();
        without.Release();
    }

    [Fact]
    public void A4_a_chain_in_flight_in_a_region_that_goes_away_must_be_drained_first()
    {
        using var two = new TwoRegions();
        using var rig = new SharedRig<TRing>(two.Table, 8);
        var raw = new RawDriverOver(two.Table, rig.Config);
        raw.Offer(TwoRegions.Border - 8, 16, VirtqDescFlags.Write);
        Assert.Equal(1, rig.Queue.Fill(8));
        GuestMemory without = GuestMemory.Of([two.LowRegion]);
        Assert.False(rig.Queue.MustDrainFor(without)); // only looked at
        ChainToken token = rig.Queue.Peek(0).Token;
        rig.Queue.Consume(1);
        Assert.True(rig.Queue.MustDrainFor(without));
        Assert.False(rig.Queue.MustDrainFor(two.Table));
        rig.Queue.Complete(token, 16);
        Assert.False(rig.Queue.MustDrainFor(without));
        rig.Queue.Publish();
        Assert.True(rig.Queue.TryRemap(rig.Config, without));
        raw.Offer(TwoRegions.Border - 8, 16, VirtqDescFlags.Write);
        Assert.Equal(0, rig.Queue.Fill(8));
        Assert.Equal(ChainFault.BufferUnmapped, rig.Queue.Fault);
        without.Release();
    }

    [Fact]
    public void A5_a_ring_whose_region_is_removed_stops_and_comes_back_with_it()
    {
        using var two = new TwoRegions();
        using var rig = new SharedRig<TRing>(two.Table, 8);
        var raw = new RawDriverOver(two.Table, rig.Config);
        raw.Offer(TwoRegions.Data, 16, 0);
        Assert.Equal(1, rig.Queue.Fill(8));
        ChainToken token = rig.Queue.Peek(0).Token;
        rig.Queue.Consume(1);
        GuestMemory without = GuestMemory.Of([two.HighRegion]);
        Assert.True(rig.Queue.MustDrainFor(without));
        rig.Queue.Complete(token, 0);
        rig.Queue.Publish();
        Assert.False(rig.Queue.MustDrainFor(without));
        raw.Offer(TwoRegions.Data, 24, 0);
        Assert.Equal(1, rig.Queue.Fill(8));
        Assert.False(rig.Queue.TryRemap(rig.Config, without));
        Assert.False(rig.Queue.IsAttached);
        Assert.Equal(0, rig.Queue.Fill(8));
        Assert.True(rig.Queue.TryArm());
        rig.Queue.Disarm();
        rig.Queue.Publish();
        rig.Queue.ReturnUnused();
        Assert.True(rig.Queue.TryRemap(rig.Config, two.Table));
        Assert.Equal(1, rig.Queue.Fill(8));
        Assert.Equal(24u, rig.Queue.Peek(0).ReadableBytes);
        Assert.Equal(ChainFault.None, rig.Queue.Fault);
        without.Release();
    }

    [Fact]
    public void A5_the_first_fault_of_a_queue_stays()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        rig.Send(1);
        rig.Driver.Publish();
        Assert.Equal(1, rig.Queue.Fill(1));
        rig.Queue.Break(ChainFault.RingUnmapped);
        rig.Queue.Break(ChainFault.NoRoomForStatus);
        Assert.Equal(ChainFault.RingUnmapped, rig.Queue.Fault);
        Assert.Equal(1, rig.Serve()); // what was taken goes on
        rig.Send(2);
        rig.Driver.Publish();
        Assert.Equal(0, rig.Queue.Fill(1));
    }

    [Fact]
    public void A_queue_holds_its_table_until_it_is_disposed()
    {
        var memory = new TestMemory(1 << 20);
        Mapping mapping = memory.Table.Regions[0].Mapping.Mapping;
        ulong features = RingRig<TRing, TDriver>.Packed ? VirtioFeatures.RingPacked : 0;
        QueueConfig config = DriverRingConfig.Lay(memory.Table, memory.Allocate(4096, 4096), 8, features).ToQueueConfig();
        Assert.Throws<ArgumentException>(() => new Virtqueue<TRing>(config with { Size = 0 }, memory.Table)); // and holds nothing
        var queue = new Virtqueue<TRing>(config, memory.Table);
        memory.Dispose();
        Assert.False(mapping.IsClosed);
        queue.Dispose();
        Assert.True(mapping.IsClosed);
        queue.Dispose(); // twice is once
    }

    [Fact]
    public void I7_every_page_that_completions_change_is_in_the_log_and_none_beyond()
    {
        using var rig = new RingRig<TRing, TDriver>(256, memoryBytes: 1 << 20);
        using DirtyLog log = DirtyLog.Private(rig.Memory.Table);
        GuestAddress area = rig.Memory.Allocate(16 * DirtyLog.PageBytes, DirtyLog.PageBytes);
        rig.Queue.SetLog(log, rig.Config with { UsedLog = rig.Config.DeviceArea });
        byte[] before = rig.Memory.Bytes(new GuestAddress(TestMemory.Base), 1 << 20).ToArray();
        var random = new Random(7);
        for (int i = 0; i < 60; i++)
        {
            Assert.True(rig.Driver.TryAdd([new(new GuestAddress(area.Value + (ulong)random.Next(15 * 4096)), (uint)random.Next(1, 4096))], 0, 0));
        }

        rig.Driver.Publish();
        byte[] offered = rig.Memory.Bytes(new GuestAddress(TestMemory.Base), 1 << 20).ToArray();
        int count = rig.Queue.Fill(64);
        Assert.Equal(60, count);
        byte[] payload = new byte[8192];
        random.NextBytes(payload);
        for (int i = 0; i < count; i++)
        {
            Chain chain = rig.Queue.Peek(i);
            rig.Queue.Complete(chain.Token, (uint)chain.Writable.CopyFrom(0, payload));
        }

        rig.Queue.Consume(count);
        rig.Queue.Publish();
        using MemFd file = MemFd.Create("log", 4096);
        using DirtyLog seen = DirtyLog.Map(file, 0, 4096);
        Assert.True(log.TryMergeInto(seen));
        using Mapping map = Mapping.OfFile(file, 0, 4096);
        byte[] after = rig.Memory.Bytes(new GuestAddress(TestMemory.Base), 1 << 20).ToArray();
        for (int page = 0; page < 4096 * 8; page++)
        {
            int index = page - (int)(TestMemory.Base / 4096);
            bool inside = index >= 0 && index < 256;
            bool changed = inside && !offered.AsSpan(index * 4096, 4096).SequenceEqual(after.AsSpan(index * 4096, 4096));
            Assert.True(!changed || IsMarked(map, page), $"page 0x{page:x} changed");
            Assert.True(inside || !IsMarked(map, page), $"page 0x{page:x} is outside of memory");
        }

        Assert.NotEqual(before, after);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void M17_a_log_that_is_too_small_for_a_write_breaks_the_queue(bool ring)
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        ulong covered = (ring ? rig.Config.DeviceArea.Value : rig.Data.Value) / DirtyLog.PageBytes;
        using MemFd file = MemFd.Create("log", 4096);
        using DirtyLog log = DirtyLog.Map(file, 0, Math.Max(1, covered / 8));
        rig.Queue.SetLog(log, rig.Config with { UsedLog = ring ? rig.Config.DeviceArea : null });
        rig.Offer(1);
        rig.Driver.Publish();
        if (ring)
        {
            rig.Queue.Publish();
        }
        else
        {
            rig.Serve(writtenBytes: 4);
        }

        Assert.Equal(ChainFault.DirtyLogTooSmall, rig.Queue.Fault);
    }

    [Fact]
    public void I7_a_log_address_that_wraps_breaks_the_queue()
    {
        using var rig = new RingRig<TRing, TDriver>(256);
        using DirtyLog log = DirtyLog.Private(rig.Memory.Table);
        rig.Queue.SetLog(log, rig.Config with { UsedLog = new GuestAddress(ulong.MaxValue - 3) });
        rig.Send(1);
        rig.Driver.Publish();
        rig.Serve();
        Assert.Equal(ChainFault.DirtyLogTooSmall, rig.Queue.Fault);
    }

    private static unsafe bool IsMarked(Mapping map, int page) => (map.Address[page / 8] & (1 << (page % 8))) != 0;
}

public sealed class SplitVirtqueueTests : VirtqueueTests<SplitRing, SplitDriver>;

public sealed class PackedVirtqueueTests : VirtqueueTests<PackedRing, PackedDriver>;
