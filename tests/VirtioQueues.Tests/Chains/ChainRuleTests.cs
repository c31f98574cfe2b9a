using System.Diagnostics;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Chains;

/// <summary>What a hostile or odd driver may put into a ring, and what becomes of it. One body for both formats.</summary>
public abstract class ChainRuleTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private protected const VirtqDescFlags Read = 0, Write = VirtqDescFlags.Write, Indirect = VirtqDescFlags.Indirect;

    private static bool Packed => RingRig<TRing, TDriver>.Packed;

    [Theory]
    [InlineData(VirtqDescFlags.Write, Read, Read, false)]
    [InlineData(VirtqDescFlags.Write, Write, Read, false)]
    [InlineData(VirtqDescFlags.Write, Read, Write, false)]
    [InlineData(Read, Write, Read, false)]
    [InlineData(Read, Read, Read, true)]
    [InlineData(Read, Read, Write, true)]
    [InlineData(Read, Write, Write, true)]
    [InlineData(Write, Write, Write, true)]
    public void R5_readable_buffers_come_before_writable_ones(VirtqDescFlags a, VirtqDescFlags b, VirtqDescFlags c, bool good)
    {
        foreach (bool indirect in new[] { false, true })
        {
            using var rig = new RingRig<TRing, TDriver>(8);
            var raw = new RawDriver(rig.Memory, rig.Config);
            RawDesc[] list = [new(rig.Data, 1, a), new(rig.Data, 2, b), new(rig.Data, 4, c)];
            Offer(rig, raw, list, indirect);
            if (!good)
            {
                AssertBroken(rig, ChainFault.ReadableAfterWritable);
                continue;
            }

            Assert.Equal(1, rig.Queue.Fill(64));
            Chain chain = rig.Queue.Peek(0);
            Assert.Equal((uint)list.Where(desc => desc.Flags == Read).Sum(desc => desc.LengthBytes), chain.ReadableBytes);
            Assert.Equal((uint)list.Where(desc => desc.Flags == Write).Sum(desc => desc.LengthBytes), chain.WritableBytes);
        }
    }

    [Fact]
    public void A_queue_that_is_never_written_to_reads_whatever_is_marked_as_writable()
    {
        foreach (bool indirect in new[] { false, true })
        {
            using var rig = new RingRig<TRing, TDriver>(8, inOrderDevice: true);
            Offer(rig, new RawDriver(rig.Memory, rig.Config), [new(rig.Data, 1, Write), new(rig.Data, 2, Read), new(rig.Data, 4, Write)], indirect);
            Assert.Equal(1, rig.Queue.Fill(64));
            Assert.Equal((7u, 0u), (rig.Queue.Peek(0).ReadableBytes, rig.Queue.Peek(0).WritableBytes));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void R4_a_chain_of_2_to_the_32_bytes_breaks_the_queue_and_one_byte_less_does_not(bool indirect)
    {
        // Sparse: only the touched pages exist. Large enough that a single buffer may have any length.
        foreach ((uint first, uint second, bool good) in new[]
        {
            (uint.MaxValue, 1u, false), (uint.MaxValue, uint.MaxValue, false), (1u, uint.MaxValue, false), (5u, uint.MaxValue, false), (0x8000_0000u, 0x8000_0000u, false),
            (uint.MaxValue - 1, 1u, true), (0x8000_0000u, 0x7fff_ffffu, true),
        })
        {
            foreach (bool warm in new[] { false, true })
            {
                foreach (VirtqDescFlags flags in new[] { Read, Write })
                {
                    using var rig = new RingRig<TRing, TDriver>(8, memoryBytes: 9UL << 30);
                    var raw = new RawDriver(rig.Memory, rig.Config);
                    if (warm)
                    {
                        raw.Add(new RawDesc(rig.Data, 64)); // the next translation finds its region by the hint
                        raw.Publish();
                        Assert.Equal(1, rig.Serve());
                    }

                    Offer(rig, raw, [new(rig.Data, first), new(rig.Data, second, flags)], indirect);
                    if (good)
                    {
                        Assert.Equal(1, rig.Queue.Fill(1));
                        Assert.Equal((ulong)first + second, (ulong)rig.Queue.Peek(0).ReadableBytes + rig.Queue.Peek(0).WritableBytes);
                    }
                    else
                    {
                        AssertBroken(rig, ChainFault.TotalTooLong);
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Cases.UnmappedAddresses), MemberType = typeof(Cases))]
    public void A7_a_buffer_outside_guest_memory_breaks_the_queue_whatever_its_length(ulong address)
    {
        foreach (uint lengthBytes in new[] { 0u, 1u, 64u, uint.MaxValue })
        {
            foreach (bool indirect in new[] { false, true })
            {
                using var rig = new RingRig<TRing, TDriver>(8, memoryBytes: 1 << 20);
                var raw = new RawDriver(rig.Memory, rig.Config);
                raw.Add(new RawDesc(rig.Data, 64));
                raw.Publish();
                Assert.Equal(1, rig.Serve());
                Offer(rig, raw, [new(new GuestAddress(address), lengthBytes)], indirect);
                AssertBroken(rig, ChainFault.BufferUnmapped);
            }
        }
    }

    [Fact]
    public void A6_a_buffer_that_reaches_over_the_end_of_memory_by_one_byte_breaks_the_queue()
    {
        foreach (uint over in new[] { 0u, 1u })
        {
            using var rig = new RingRig<TRing, TDriver>(8, memoryBytes: 1 << 20);
            var raw = new RawDriver(rig.Memory, rig.Config);
            Offer(rig, raw, [new(new GuestAddress(TestMemory.Base + (1 << 20) - 100), 100 + over, Write)], false);
            if (over == 0)
            {
                Assert.Equal(1, rig.Queue.Fill(1));
            }
            else
            {
                AssertBroken(rig, ChainFault.BufferUnmapped);
            }
        }
    }

    [Fact]
    public void A7_a_buffer_of_length_0_at_a_good_address_is_an_empty_buffer()
    {
        foreach (bool indirect in new[] { false, true })
        {
            using var rig = new RingRig<TRing, TDriver>(8);
            var raw = new RawDriver(rig.Memory, rig.Config);
            Offer(rig, raw, [new(rig.Data, 0), new(rig.Data, 3), new(rig.Data, 0), new(rig.Data, 0, Write), new(rig.Data, 5, Write)], indirect);
            Assert.Equal(1, rig.Queue.Fill(1));
            Chain chain = rig.Queue.Peek(0);
            Assert.Equal((3u, 5u, 1, 1), (chain.ReadableBytes, chain.WritableBytes, chain.Readable.Count, chain.Writable.Count));
            Assert.Equal(1, rig.Serve());
        }
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(1u)]
    [InlineData(8u)]
    [InlineData(15u)]
    [InlineData(17u)]
    [InlineData((1024u * 16) + 16)]
    [InlineData(uint.MaxValue)]
    [InlineData(uint.MaxValue - 15)]
    public void R6_an_indirect_table_of_a_wrong_length_breaks_the_queue(uint lengthBytes)
    {
        using var rig = new RingRig<TRing, TDriver>(64);
        var raw = new RawDriver(rig.Memory, rig.Config);
        raw.Table(rig.Data, new RawDesc(rig.Data, 64));
        raw.Add(new RawDesc(rig.Data, lengthBytes, Indirect));
        raw.Publish();
        AssertBroken(rig, ChainFault.IndirectLength);
    }

    [Fact]
    public void R6_an_indirect_table_inside_an_indirect_table_breaks_the_queue()
    {
        foreach (int at in new[] { 0, 1, 2 })
        {
            using var rig = new RingRig<TRing, TDriver>(64);
            var raw = new RawDriver(rig.Memory, rig.Config);
            var list = new RawDesc[3];
            Array.Fill(list, new RawDesc(rig.Data, 64));
            list[at] = new RawDesc(rig.Data, 64, Indirect);
            Offer(rig, raw, list, indirect: true);
            AssertBroken(rig, ChainFault.IndirectNested);
        }
    }

    [Fact]
    public void R6_indirect_together_with_next_breaks_the_queue()
    {
        using var rig = new RingRig<TRing, TDriver>(64);
        var raw = new RawDriver(rig.Memory, rig.Config);
        raw.Table(rig.Data, new RawDesc(rig.Data, 64));
        raw.Add(new RawDesc(rig.Data, 16, Indirect), new RawDesc(rig.Data, 64));
        raw.Publish();
        AssertBroken(rig, ChainFault.IndirectWithNext);
    }

    [Fact]
    public void R6_an_indirect_table_without_the_feature_breaks_the_queue()
    {
        using var rig = new RingRig<TRing, TDriver>(64, VirtioFeatures.Version1);
        var raw = new RawDriver(rig.Memory, rig.Config);
        Offer(rig, raw, [new(rig.Data, 64)], indirect: true);
        AssertBroken(rig, ChainFault.IndirectNotNegotiated);
    }

    [Theory]
    [MemberData(nameof(Cases.UnmappedAddresses), MemberType = typeof(Cases))]
    public void R6_an_indirect_table_outside_memory_breaks_the_queue(ulong address)
    {
        using var rig = new RingRig<TRing, TDriver>(64, memoryBytes: 1 << 20);
        var raw = new RawDriver(rig.Memory, rig.Config);
        raw.Add(new RawDesc(new GuestAddress(address), 64, Indirect));
        raw.Publish();
        AssertBroken(rig, ChainFault.IndirectUnmapped);
    }

    [Fact]
    public void R7_an_indirect_table_may_lie_at_any_byte_alignment()
    {
        using var rig = new RingRig<TRing, TDriver>(64);
        var raw = new RawDriver(rig.Memory, rig.Config);
        GuestAddress area = rig.Memory.Allocate(4096);
        for (int offset = 0; offset < 16; offset++)
        {
            raw.Add(new RawDesc(raw.Table(new GuestAddress(area.Value + (ulong)(offset * 65)), new RawDesc(rig.Data, 10), new RawDesc(rig.Data, 20, Write)), 32, Indirect));
        }

        raw.Publish();
        Assert.Equal(16, rig.Queue.Fill(16));
        for (int i = 0; i < 16; i++)
        {
            Assert.Equal((10u, 20u), (rig.Queue.Peek(i).ReadableBytes, rig.Queue.Peek(i).WritableBytes));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(128)]
    [InlineData(1024)]
    public void R7_an_indirect_table_may_be_longer_than_the_ring(int entries)
    {
        using var rig = new RingRig<TRing, TDriver>(64);
        var raw = new RawDriver(rig.Memory, rig.Config);
        GuestAddress area = rig.Memory.Allocate((ulong)entries * 16);
        var list = new RawDesc[entries];
        for (int i = 0; i < entries; i++)
        {
            list[i] = new RawDesc(new GuestAddress(rig.Data.Value + (ulong)i), 1, i < entries / 2 ? Read : Write);
        }

        raw.Add(new RawDesc(raw.Table(area, list), (uint)entries * 16, Indirect));
        raw.Publish();
        Assert.Equal(1, rig.Queue.Fill(1));
        Assert.Equal((entries / 2, entries - (entries / 2)), (rig.Queue.Peek(0).Readable.Count, rig.Queue.Peek(0).Writable.Count));
        Assert.Equal(1, rig.Serve());
        Assert.Equal(0, rig.Queue.Fill(1));
        Assert.Equal(ChainFault.None, rig.Queue.Fault);
    }

    [Fact]
    public void R7_an_indirect_table_may_lie_over_two_regions_at_every_cut()
    {
        for (ulong before = 0; before <= 48; before++)
        {
            using var two = new TwoRegions();
            using var rig = new SharedRig<TRing>(two.Table, 16);
            ulong at = TwoRegions.Border - before;
            var raw = new RawDriverOver(two.Table, rig.Config);
            raw.Table(at, [(TwoRegions.Data, 10, Read), (TwoRegions.Data, 20, Read), (TwoRegions.Data, 30, Write)]);
            raw.Offer(at, 48, Indirect);
            Assert.Equal(1, rig.Queue.Fill(1));
            Assert.Equal((30u, 30u), (rig.Queue.Peek(0).ReadableBytes, rig.Queue.Peek(0).WritableBytes));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(32)]
    [InlineData(63)]
    public void A6_a_buffer_over_two_regions_that_touch_in_the_guest_only_is_split(int before)
    {
        using var two = new TwoRegions();
        using var rig = new SharedRig<TRing>(two.Table, 16);
        byte[] pattern = new byte[64];
        new Random(7).NextBytes(pattern);
        var address = new GuestAddress(TwoRegions.Border - (ulong)before);
        Assert.True(two.Table.TryWrite(address, pattern));
        var raw = new RawDriverOver(two.Table, rig.Config);
        raw.Offer(address.Value, 64, Read);
        raw.Offer(address.Value, 64, Write);
        Assert.Equal(2, rig.Queue.Fill(2));
        Chain chain = rig.Queue.Peek(0);
        Assert.Equal((2, 64u), (chain.Readable.Count, chain.ReadableBytes));
        Assert.Equal(((uint)before, (uint)(64 - before)), (chain.Readable[0].LengthBytes, chain.Readable[1].LengthBytes));
        byte[] seen = new byte[64];
        Assert.Equal(64, chain.Readable.CopyTo(0, seen));
        Assert.Equal(pattern, seen);
        Array.Reverse(pattern);
        Assert.Equal(64, rig.Queue.Peek(1).Writable.CopyFrom(0, pattern));
        Assert.True(two.Table.TryRead(address, seen));
        Assert.Equal(pattern, seen);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(256)]
    [InlineData(32768)]
    public void R3_a_list_that_never_ends_breaks_the_queue_in_bounded_time(int loop)
    {
        int size = Math.Max(loop, 8);
        using var rig = new RingRig<TRing, TDriver>(size);
        var raw = new RawDriver(rig.Memory, rig.Config);
        if (Packed)
        {
            // NEXT everywhere: the list goes on over its own beginning.
            for (int i = size - 1; i >= 0; i--)
            {
                SetPacked(raw, i, new PackedDesc(rig.Data.Value, 4, 0, VirtqDescFlags.Next | VirtqDescFlags.Avail));
            }
        }
        else
        {
            for (int i = 0; i < loop; i++)
            {
                SetSplit(raw, i, new VirtqDesc(rig.Data.Value, 4, VirtqDescFlags.Next, (ushort)((i + 1) % loop)));
            }

            raw.OfferHead(0);
            raw.Publish();
        }

        long start = Stopwatch.GetTimestamp();
        AssertBroken(rig, ChainFault.ChainTooLong);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(1), "bounded by the ring size");
    }

    [Fact]
    public void R8_a_head_or_id_in_flight_that_is_offered_again_breaks_the_queue_and_what_was_taken_still_completes()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        var raw = new RawDriver(rig.Memory, rig.Config);
        raw.Add(new RawDesc(rig.Data, 16));
        raw.Publish();
        Assert.Equal(1, rig.Queue.Fill(1));
        ChainToken token = rig.Queue.Peek(0).Token;
        rig.Queue.Consume(1);
        if (Packed)
        {
            raw.NextId = 0;
            raw.Add(new RawDesc(rig.Data, 16));
        }
        else
        {
            raw.OfferHead(0);
            raw.Publish();
        }

        AssertBroken(rig, ChainFault.HeadInFlight);
        Assert.Equal(1, rig.Queue.InFlight);
        Assert.Equal(16u, rig.Queue[token].ReadableBytes);
        rig.Queue.Complete(token, 0);
        rig.Queue.Publish();
        Assert.Equal(0, rig.Queue.InFlight);
        Assert.Equal(1, rig.Queue.Completed);
    }

    [Fact]
    public void R13_more_descriptors_in_flight_than_the_ring_has_break_the_queue()
    {
        using var rig = new RingRig<TRing, TDriver>(4);
        var raw = new RawDriver(rig.Memory, rig.Config);
        raw.Add(new RawDesc(rig.Data, 1), new RawDesc(rig.Data, 1), new RawDesc(rig.Data, 1), new RawDesc(rig.Data, 1));
        raw.Publish();
        Assert.Equal(1, rig.Queue.Fill(1));
        rig.Queue.Consume(1);
        if (Packed)
        {
            raw.Add(new RawDesc(rig.Data, 1));
        }
        else
        {
            raw.OfferHead(1); // the middle of the chain in flight
            raw.Publish();
        }

        AssertBroken(rig, ChainFault.TooManyInFlight);
    }

    [Fact]
    public void R13_an_offer_while_every_descriptor_is_in_flight_breaks_the_queue()
    {
        using var rig = new RingRig<TRing, TDriver>(4);
        var raw = new RawDriver(rig.Memory, rig.Config);
        for (int i = 0; i < 4; i++)
        {
            raw.Add(new RawDesc(rig.Data, 1));
        }

        raw.Publish();
        Assert.Equal(4, rig.Queue.Fill(4));
        rig.Queue.Consume(4);
        Assert.Equal(0, rig.Queue.Fill(4));
        Assert.Equal(ChainFault.None, rig.Queue.Fault);
        Assert.True(rig.Queue.TryArm());
        raw.Add(new RawDesc(rig.Data, 1));
        raw.Publish();
        Assert.False(rig.Queue.TryArm());
        AssertBroken(rig, ChainFault.TooManyInFlight);
        Assert.True(rig.Queue.TryArm()); // and the worker may sleep
    }

    [Fact]
    public void R2_chains_before_a_bad_head_are_served_and_nothing_behind_it()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        var raw = new RawDriver(rig.Memory, rig.Config);
        raw.Add(new RawDesc(rig.Data, 1));
        raw.Add(new RawDesc(rig.Data, 2));
        raw.Add(new RawDesc(default, 3));
        raw.Add(new RawDesc(rig.Data, 4));
        raw.Publish();
        Assert.Equal(2, rig.Queue.Fill(8));
        Assert.Equal(ChainFault.BufferUnmapped, rig.Queue.Fault);
        Assert.Equal(2, rig.Serve());
        Assert.Equal(0, rig.Queue.Fill(8));
        Assert.Equal(2, rig.Queue.Completed);
    }

    [Fact]
    public void R16_buffers_over_the_ring_itself_and_over_each_other_ruin_only_the_guests_data()
    {
        var random = new Random(11);
        for (int round = 0; round < 200; round++)
        {
            using var rig = new RingRig<TRing, TDriver>(16, memoryBytes: 1 << 20);
            var raw = new RawDriver(rig.Memory, rig.Config);
            for (int i = 0; i < 5; i++)
            {
                ulong from = TestMemory.Base + (ulong)random.Next(0x1800), to = TestMemory.Base + (ulong)random.Next(0x1800);
                raw.Add(new RawDesc(new GuestAddress(from), (uint)random.Next(1, 3000)), new RawDesc(new GuestAddress(to), (uint)random.Next(1, 3000), Write));
            }

            raw.Publish();
            for (int turn = 0; turn < 4; turn++)
            {
                int count = rig.Queue.Fill(8);
                for (int i = 0; i < count; i++)
                {
                    Chain chain = rig.Queue.Peek(i);
                    uint now = Math.Min(chain.ReadableBytes, chain.WritableBytes);
                    BufferList.Copy(chain.Readable, 0, chain.Writable, 0, now);
                    rig.Queue.Complete(chain.Token, now);
                }

                rig.Queue.Consume(count);
                rig.Queue.Publish();
            }

            Assert.Equal(0, rig.Queue.InFlight);
        }
    }

    private protected static void Offer(RingRig<TRing, TDriver> rig, RawDriver raw, RawDesc[] list, bool indirect)
    {
        if (indirect)
        {
            GuestAddress table = rig.Memory.Allocate((ulong)list.Length * 16, 16);
            raw.Add(new RawDesc(raw.Table(table, list), (uint)list.Length * 16, Indirect));
        }
        else
        {
            raw.Add(list);
        }

        raw.Publish();
    }

    private protected static void AssertBroken(RingRig<TRing, TDriver> rig, ChainFault fault)
    {
        Assert.Equal(0, rig.Queue.Fill(64));
        Assert.Equal(fault, rig.Queue.Fault);
        Assert.Equal(0, rig.Queue.Fill(64)); // latched
        Assert.Equal(fault, rig.Queue.Fault);
        Assert.True(rig.Queue.TryArm()); // a broken queue never keeps its worker awake
    }

    private protected static unsafe void SetSplit(RawDriver raw, int index, VirtqDesc desc) => raw.Split[index] = desc;

    private protected static unsafe void SetPacked(RawDriver raw, int index, PackedDesc desc) => raw.Packed[index] = desc;

    private protected static unsafe void Write16(TestMemory memory, GuestAddress at, VirtqDesc desc) => *(VirtqDesc*)memory[at] = desc;
}

public sealed class SplitChainRuleTests : ChainRuleTests<SplitRing, SplitDriver>
{
    [Fact]
    public void R2_a_next_index_outside_its_table_breaks_the_queue()
    {
        foreach (ushort next in new ushort[] { 8, 9, 65535 })
        {
            using var rig = new RingRig<SplitRing, SplitDriver>(8);
            var raw = new RawDriver(rig.Memory, rig.Config);
            SetSplit(raw, 0, new VirtqDesc(rig.Data.Value, 4, VirtqDescFlags.Next, next));
            raw.OfferHead(0);
            raw.Publish();
            AssertBroken(rig, ChainFault.NextOutOfRange);
        }

        using var table = new RingRig<SplitRing, SplitDriver>(8);
        var indirect = new RawDriver(table.Memory, table.Config);
        Write16(table.Memory, table.Data, new VirtqDesc(table.Data.Value, 4, VirtqDescFlags.Next, 1));
        indirect.Add(new RawDesc(table.Data, 16, Indirect)); // next 1 of a table with one entry
        indirect.Publish();
        AssertBroken(table, ChainFault.NextOutOfRange);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(1024)]
    public void R3_a_loop_inside_an_indirect_table_breaks_the_queue_in_bounded_time(int loop)
    {
        using var rig = new RingRig<SplitRing, SplitDriver>(8);
        var raw = new RawDriver(rig.Memory, rig.Config);
        GuestAddress table = rig.Memory.Allocate((ulong)loop * 16);
        for (int i = 0; i < loop; i++)
        {
            Write16(rig.Memory, new GuestAddress(table.Value + ((ulong)i * 16)), new VirtqDesc(rig.Data.Value, 4, VirtqDescFlags.Next, (ushort)((i + 1) % loop)));
        }

        raw.Add(new RawDesc(table, (uint)loop * 16, Indirect));
        raw.Publish();
        AssertBroken(rig, ChainFault.ChainTooLong);
    }

    [Theory]
    [InlineData(9)]
    [InlineData(32768)]
    [InlineData(65535)]
    [InlineData(40000)]
    public void R1_an_available_index_too_far_ahead_or_moved_back_breaks_the_queue_for_good(int ahead)
    {
        foreach (int start in new[] { 0, 5, 0xfff9 })
        {
            using var rig = new RingRig<SplitRing, SplitDriver>(8, start: QueueState.Split((ushort)start));
            var raw = new RawDriver(rig.Memory, rig.Config) { Index = unchecked((ushort)(start + ahead)) };
            raw.Publish();
            AssertBroken(rig, ChainFault.AvailIndexOutOfRange);
            raw.Index = unchecked((ushort)(start + 1));
            raw.Publish();
            AssertBroken(rig, ChainFault.AvailIndexOutOfRange);
        }
    }

    [Theory]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(65535)]
    public void R2_a_head_outside_the_table_breaks_the_queue(int head)
    {
        using var rig = new RingRig<SplitRing, SplitDriver>(8);
        var raw = new RawDriver(rig.Memory, rig.Config);
        raw.OfferHead((ushort)head);
        raw.Publish();
        AssertBroken(rig, ChainFault.HeadOutOfRange);
    }
}

public sealed class PackedChainRuleTests : ChainRuleTests<PackedRing, PackedDriver>
{
    [Fact]
    public void R9_every_packed_id_is_accepted_since_a_driver_may_use_any_number()
    {
        using var rig = new RingRig<PackedRing, PackedDriver>(3);
        var raw = new RawDriver(rig.Memory, rig.Config);
        for (int id = 0; id <= 0xffff; id++)
        {
            raw.NextId = (ushort)id;
            raw.Add(new RawDesc(rig.Data, 1));
            Assert.Equal(1, rig.Serve());
        }

        Assert.Equal(ChainFault.None, rig.Queue.Fault);
    }

    [Fact]
    public void R9_a_ring_full_of_available_marks_ends_at_the_ring_size()
    {
        using var rig = new RingRig<PackedRing, PackedDriver>(16);
        var raw = new RawDriver(rig.Memory, rig.Config);
        for (int i = 0; i < 16; i++)
        {
            raw.Add(new RawDesc(rig.Data, 1));
        }

        Assert.Equal(16, rig.Queue.Fill(64)); // and not round again: the wrap counter turned
        Assert.Equal(16, rig.Serve());
        Assert.Equal(0, rig.Queue.Fill(64));
        Assert.Equal(ChainFault.None, rig.Queue.Fault);
    }

    [Fact]
    public void R9_a_slot_with_both_marks_or_none_is_not_available()
    {
        using var rig = new RingRig<PackedRing, PackedDriver>(4);
        var raw = new RawDriver(rig.Memory, rig.Config);
        foreach (VirtqDescFlags flags in new[] { VirtqDescFlags.None, VirtqDescFlags.Used, VirtqDescFlags.Used | VirtqDescFlags.Avail, (VirtqDescFlags)0x7f7f })
        {
            SetPacked(raw, 0, new PackedDesc(rig.Data.Value, 4, 0, flags));
            Assert.Equal(0, rig.Queue.Fill(1));
        }

        SetPacked(raw, 0, new PackedDesc(rig.Data.Value, 4, 0, (VirtqDescFlags)0x7ff8)); // unknown bits are not ours to judge
        Assert.Equal(1, rig.Queue.Fill(1));
    }
}
