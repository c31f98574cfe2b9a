using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Driver;

/// <summary>The driver side on its own: shapes, reposting, faults of the device. One body for both formats.</summary>
public abstract class DriverRingTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private protected static bool Packed => RingRig<TRing, TDriver>.Packed;

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(256)]
    public void A_full_ring_refuses_and_takes_again_when_a_chain_came_back(int size)
    {
        using var rig = new RingRig<TRing, TDriver>(size, indirectEntries: 2);
        for (int lap = 0; lap < 3; lap++)
        {
            for (int i = 0; i < size; i++)
            {
                Assert.True(rig.Driver.TryAdd([rig.Buffer(), rig.Buffer()], 1, (ushort)i, indirect: true));
            }

            Assert.Equal((0, size), (rig.Driver.FreeDescriptors, rig.Driver.InFlight));
            Assert.False(rig.Send(0));
            Assert.False(rig.Driver.TryAdd([rig.Buffer(), rig.Buffer()], 1, 0, indirect: true));
            rig.Driver.Publish();
            for (int served = 0, now; served < size; served += now)
            {
                now = rig.Serve();
                Assert.NotEqual(0, now);
            }

            for (int i = 0; i < size; i++)
            {
                Assert.True(rig.Driver.TryGetUsed(out ushort cookie, out _));
                Assert.Equal(i, cookie);
            }

            Assert.False(rig.Driver.TryGetUsed(out _, out _));
        }
    }

    [Fact]
    public void A_chain_that_is_longer_than_what_is_free_changes_nothing()
    {
        using var rig = new RingRig<TRing, TDriver>(4);
        Assert.True(rig.Driver.TryAdd([rig.Buffer(), rig.Buffer()], 2, 1));
        Assert.False(rig.Driver.TryAdd([rig.Buffer(), rig.Buffer(), rig.Buffer()], 2, 2));
        Assert.Equal((2, 1), (rig.Driver.FreeDescriptors, rig.Driver.InFlight));
        Assert.True(rig.Driver.TryAdd([rig.Buffer(1), rig.Buffer(2)], 1, 3));
        rig.Driver.Publish();
        Assert.Equal(2, rig.Queue.Fill(8));
        Assert.Equal((1u, 2u), (rig.Queue.Peek(1).ReadableBytes, rig.Queue.Peek(1).WritableBytes));
    }

    [Fact]
    public void Chains_that_can_never_be_added_are_a_mistake_of_the_caller()
    {
        using var rig = new RingRig<TRing, TDriver>(4, indirectEntries: 2);
        DriverBuffer[] five = [rig.Buffer(), rig.Buffer(), rig.Buffer(), rig.Buffer(), rig.Buffer()];
        Assert.Throws<ArgumentException>(() => rig.Driver.TryAdd([], 0, 0));
        Assert.Throws<ArgumentException>(() => rig.Driver.TryAdd(five, 0, 0));
        Assert.Throws<ArgumentException>(() => rig.Driver.TryAdd(five.AsSpan(0, 2), 3, 0));
        Assert.Throws<ArgumentException>(() => rig.Driver.TryAdd(five.AsSpan(0, 1), 2, 0));
        Assert.Throws<ArgumentException>(() => rig.Driver.TryAdd(five.AsSpan(0, 1), -1, 0));
        Assert.Throws<ArgumentException>(() => rig.Driver.TryAdd(five.AsSpan(0, 3), 0, 0, indirect: true));
        Assert.Throws<ArgumentException>(() => rig.Driver.TryAdd([], 0, 0, indirect: true));
        Assert.Equal((4, 0), (rig.Driver.FreeDescriptors, rig.Driver.InFlight));
        using var direct = new RingRig<TRing, TDriver>(4);
        Assert.Throws<ArgumentException>(() => direct.Driver.TryAdd(five.AsSpan(0, 1), 0, 0, indirect: true));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Chains_are_posted_again_as_they_were_lap_after_lap(bool inOrder)
    {
        using var rig = new RingRig<TRing, TDriver>(8, RingRig<TRing, TDriver>.AllFeatures | (inOrder ? VirtioFeatures.InOrder : 0), indirectEntries: 3);
        for (ushort i = 0; i < 8; i++)
        {
            bool indirect = i % 3 == 0;
            Assert.True(rig.Driver.TryAdd(indirect ? [rig.Buffer(5), rig.Buffer(i + 1u)] : [rig.Buffer(i + 1u)], indirect ? 1 : 0, i, indirect));
        }

        rig.Driver.Publish();
        var used = new UsedChain[3];
        int next = 0;
        for (int round = 0; round < 1_000; round++)
        {
            rig.Serve(3, 1);
            int count = rig.Driver.TakeUsedBurst(used);
            Assert.Equal(3, count);
            for (int i = 0; i < count; i++)
            {
                Assert.Equal((next++ % 8, 1u), (used[i].Cookie, used[i].WrittenBytes));
            }

            Assert.Equal((0, 5), (rig.Driver.FreeDescriptors, rig.Driver.InFlight));
            Assert.False(rig.Send(0)); // held chains keep their descriptors
            rig.Driver.Repost(used);
            rig.Driver.Publish();
            Assert.Equal(8, rig.Queue.Fill(8));
            for (int i = 0; i < 8; i++)
            {
                int cookie = (next + i) % 8;
                Assert.Equal(((uint)cookie + 1, cookie % 3 == 0 ? 5u : 0u), (rig.Queue.Peek(i).WritableBytes, rig.Queue.Peek(i).ReadableBytes));
            }
        }
    }

    [Fact]
    public void Only_a_chain_that_is_held_can_be_given_back_and_only_once()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        rig.Send(0);
        Assert.True(rig.Driver.TryAdd([rig.Buffer(), rig.Buffer()], 1, 1));
        rig.Driver.Publish();
        rig.Serve();
        var used = new UsedChain[8];
        Assert.Equal(2, rig.Driver.TakeUsedBurst(used));
        Assert.Throws<ArgumentException>(() => rig.Driver.Repost([used[1]])); // of two descriptors
        rig.Driver.Release([used[1]]);
        Assert.Throws<ArgumentException>(() => rig.Driver.Release([used[1]]));
        rig.Driver.Repost([used[0]]);
        Assert.Throws<ArgumentException>(() => rig.Driver.Repost([used[0]]));
        Assert.Throws<ArgumentException>(() => rig.Driver.Release([new UsedChain(0, 8, 0)]));
        Assert.Throws<ArgumentException>(() => rig.Driver.Repost([new UsedChain(0, ushort.MaxValue, 0)]));
        Assert.Equal((7, 1), (rig.Driver.FreeDescriptors, rig.Driver.InFlight));
    }

    [Theory]
    [InlineData(8, DriverFault.UsedIdOutOfRange)]
    [InlineData(65535, DriverFault.UsedIdOutOfRange)]
    [InlineData(3, DriverFault.UsedIdNotInFlight)]
    public void A_used_id_that_is_not_in_flight_is_a_fault_and_what_came_before_is_kept(int id, DriverFault fault)
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        rig.Send(10);
        rig.Send(11);
        rig.Driver.Publish();
        WriteUsed(rig, 0, 0, 0);
        WriteUsed(rig, 1, (uint)id, 0);
        PublishUsed(rig, 2);
        var used = new UsedChain[8];
        Assert.Equal(1, rig.Driver.GetUsedBurst(used));
        Assert.Equal(10, used[0].Cookie);
        Assert.Equal(fault, rig.Driver.Fault);
        WriteUsed(rig, 1, 1, 0);
        Assert.Equal(0, rig.Driver.GetUsedBurst(used));
        Assert.False(rig.Driver.TryGetUsed(out _, out _));
    }

    [Fact]
    public void A_chain_used_twice_is_a_fault()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        rig.Send(10);
        rig.Send(11);
        rig.Driver.Publish();
        WriteUsed(rig, 0, 0, 0);
        WriteUsed(rig, 1, 0, 0);
        PublishUsed(rig, 2);
        Assert.Equal(1, rig.Driver.GetUsedBurst(new UsedChain[8]));
        Assert.Equal(DriverFault.UsedIdNotInFlight, rig.Driver.Fault);
    }

    [Theory]
    [InlineData(64u, true)]
    [InlineData(65u, false)]
    [InlineData(uint.MaxValue, false)]
    public void More_bytes_than_the_writable_part_has_are_a_fault(uint lengthBytes, bool good)
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        rig.Offer(10, 64);
        rig.Driver.Publish();
        WriteUsed(rig, 0, 0, lengthBytes);
        PublishUsed(rig, 1);
        Assert.Equal(good, rig.Driver.TryGetUsed(out _, out uint written));
        Assert.Equal(good ? lengthBytes : 0, written);
        Assert.Equal(good ? DriverFault.None : DriverFault.UsedLengthTooLong, rig.Driver.Fault);
    }

    [Fact]
    public void A_length_reported_for_a_chain_without_writable_part_means_nothing()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        rig.Send(10);
        rig.Driver.Publish();
        WriteUsed(rig, 0, 0, 1514);
        PublishUsed(rig, 1);
        Assert.True(rig.Driver.TryGetUsed(out _, out uint written));
        Assert.Equal(0u, written);
    }

    [Fact]
    public void In_order_one_used_element_stands_for_all_before_it_which_count_as_filled()
    {
        using var rig = new RingRig<TRing, TDriver>(8, RingRig<TRing, TDriver>.AllFeatures | VirtioFeatures.InOrder);
        for (int lap = 0; lap < 20; lap++)
        {
            for (ushort i = 0; i < 5; i++)
            {
                rig.Offer(i, i + 10u);
            }

            rig.Driver.Publish();
            int first = lap * 5;
            if (Packed)
            {
                Assert.Equal(5, rig.Queue.Fill(5)); // keeps the position of the next lap right
            }

            WriteUsed(rig, first % 8, (uint)((first + 3) % 8), 7, first / 8 % 2 == 0);
            PublishUsed(rig, first + 4);
            var used = new UsedChain[3];
            Assert.Equal(3, rig.Driver.GetUsedBurst(used));
            Assert.Equal([(0, 10u), (1, 11u), (2, 12u)], used.Select(chain => ((int)chain.Cookie, chain.WrittenBytes)));
            Assert.False(rig.Driver.TryArmCall()); // the rest of the batch is there
            Assert.Equal(1, rig.Driver.GetUsedBurst(used));
            Assert.Equal((3, 7u), (used[0].Cookie, used[0].WrittenBytes));
            Assert.Equal(0, rig.Driver.GetUsedBurst(used));
            WriteUsed(rig, (first + 4) % 8, (uint)((first + 4) % 8), 2, (first + 4) / 8 % 2 == 0);
            PublishUsed(rig, first + 5);
            Assert.Equal(1, rig.Driver.GetUsedBurst(used));
            Assert.Equal((8, DriverFault.None), (rig.Driver.FreeDescriptors, rig.Driver.Fault));
        }
    }

    [Theory]
    [InlineData(8)]
    [InlineData(100)]
    [InlineData(4097)]
    public void Areas_follow_each_other_without_sharing_lines_and_fit_into_the_bytes_announced(int size)
    {
        if (!Packed)
        {
            size = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)size);
        }

        ulong features = Packed ? VirtioFeatures.RingPacked | VirtioFeatures.IndirectDesc : VirtioFeatures.IndirectDesc;
        using var memory = new TestMemory(4 << 20);
        var at = new GuestAddress(TestMemory.Base);
        DriverRingConfig layout = DriverRingConfig.Lay(memory.Table, at, size, features, 4);
        (uint descriptor, uint driver, uint device) = layout.ToQueueConfig().AreaSizes();
        (ulong Start, ulong Bytes)[] areas =
        [
            (layout.DescriptorArea.Value, descriptor), (layout.DriverArea.Value, driver), (layout.DeviceArea.Value, device), (layout.IndirectArea.Value, (ulong)size * 4 * 16),
        ];
        ulong end = at.Value;
        foreach ((ulong start, ulong bytes) in areas)
        {
            Assert.True(start >= end && start % DriverRingConfig.AreaAlignmentBytes == 0);
            end = start + bytes;
        }

        Assert.InRange(DriverRingConfig.BytesNeeded(size, features, 4), end - at.Value, end - at.Value + DriverRingConfig.AreaAlignmentBytes - 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => DriverRingConfig.Lay(memory.Table, new GuestAddress(TestMemory.Base + 64), size, features));
        Assert.Equal(size, TDriver.Open(layout).FreeDescriptors);
    }

    [Fact]
    public void A_ring_that_cannot_be_opened_says_why()
    {
        using var memory = new TestMemory(1 << 16);
        ulong features = Packed ? VirtioFeatures.RingPacked : 0;
        DriverRingConfig good = DriverRingConfig.Lay(memory.Table, new GuestAddress(TestMemory.Base), 8, features);
        Assert.Equal(8, TDriver.Open(good).FreeDescriptors);
        Assert.Contains("size", Assert.Throws<ArgumentException>(() => TDriver.Open(good with { Size = 0 })).Message, StringComparison.Ordinal);
        Assert.Contains("format", Assert.Throws<ArgumentException>(() => TDriver.Open(good with { Features = features ^ VirtioFeatures.RingPacked })).Message, StringComparison.Ordinal);
        Assert.Contains("area", Assert.Throws<ArgumentException>(() => TDriver.Open(good with { DeviceArea = default })).Message, StringComparison.Ordinal);
        Assert.Contains("indirect", Assert.Throws<ArgumentException>(() => TDriver.Open(good with { IndirectEntries = 2 })).Message, StringComparison.Ordinal);
        DriverRingConfig indirect = DriverRingConfig.Lay(memory.Table, new GuestAddress(TestMemory.Base), 8, features | VirtioFeatures.IndirectDesc, 600);
        Assert.Contains("indirect", Assert.Throws<ArgumentException>(() => TDriver.Open(indirect)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void R7_indirect_tables_of_the_driver_may_lie_at_any_alignment()
    {
        for (ulong skew = 0; skew < 16; skew++)
        {
            using var rig = new RingRig<TRing, TDriver>(4, indirectEntries: 3);
            rig.Driver = TDriver.Open(rig.Layout with { IndirectArea = new GuestAddress(rig.Data.Value + skew) });
            GuestAddress data = rig.Memory.Allocate(64);
            for (ushort i = 0; i < 4; i++)
            {
                Assert.True(rig.Driver.TryAdd([new(data, 1), new(data, 2), new(data, 4)], 2, i, indirect: true));
            }

            rig.Driver.Publish();
            Assert.Equal(4, rig.Queue.Fill(4));
            Assert.Equal((3u, 4u), (rig.Queue.Peek(3).ReadableBytes, rig.Queue.Peek(3).WritableBytes));
            Assert.Equal(4, rig.Serve());
        }
    }

    private protected static unsafe void WriteUsed(RingRig<TRing, TDriver> rig, int position, uint id, uint lengthBytes, bool wrap = true)
    {
        if (Packed)
        {
            ulong flags = (wrap ? 0x8080u : 0u) | (lengthBytes != 0 ? 2u : 0u);
            Volatile.Write(ref ((ulong*)rig.Memory[rig.Config.DescriptorArea])[(position * 2) + 1], lengthBytes | ((ulong)id << 32) | (flags << 48));
        }
        else
        {
            ((VirtqUsedElem*)(rig.Memory[rig.Config.DeviceArea] + 4))[position] = new VirtqUsedElem(id, lengthBytes);
        }
    }

    private protected static unsafe void PublishUsed(RingRig<TRing, TDriver> rig, int index)
    {
        if (!Packed)
        {
            Volatile.Write(ref ((ushort*)rig.Memory[rig.Config.DeviceArea])[1], (ushort)index);
        }
    }
}

public sealed class SplitDriverTests : DriverRingTests<SplitRing, SplitDriver>
{
    [Theory]
    [InlineData(3)]
    [InlineData(9)]
    [InlineData(32768)]
    [InlineData(65535)]
    public void A_used_index_past_what_was_offered_or_moved_back_is_a_fault(int index)
    {
        using var rig = new RingRig<SplitRing, SplitDriver>(8);
        rig.Send(0);
        rig.Send(1);
        rig.Driver.Publish();
        rig.Send(2); // not published: not the device's yet
        PublishUsed(rig, index);
        Assert.False(rig.Driver.TryGetUsed(out _, out _));
        Assert.Equal(DriverFault.UsedIndexOutOfRange, rig.Driver.Fault);
        PublishUsed(rig, 1);
        Assert.False(rig.Driver.TryGetUsed(out _, out _));
    }

    [Fact]
    public unsafe void A_batch_of_a_device_in_order_is_one_element_with_the_last_head_in_the_first_place()
    {
        using var rig = new RingRig<SplitRing, SplitDriver>(8, VirtioFeatures.Version1 | VirtioFeatures.InOrder, inOrderDevice: true);
        for (int lap = 0; lap < 7; lap++)
        {
            for (ushort i = 0; i < 3; i++)
            {
                rig.Send(i);
            }

            rig.Driver.Publish();
            var used = (VirtqUsedElem*)(rig.Memory[rig.Config.DeviceArea] + 4);
            new Span<VirtqUsedElem>(used, 8).Fill(new VirtqUsedElem(0xdead, 0xdead));
            Assert.Equal(3, rig.Serve());
            int first = lap * 3 % 8;
            for (int i = 0; i < 8; i++)
            {
                Assert.Equal(i == first ? (uint)((first + 2) % 8) : 0xdead, used[i].Id);
            }

            Assert.Equal(3, rig.Driver.GetUsedBurst(new UsedChain[8]));
        }
    }
}

public sealed class PackedDriverTests : DriverRingTests<PackedRing, PackedDriver>
{
    [Fact]
    public unsafe void A_batch_of_a_device_in_order_is_one_element_with_the_last_id_in_the_first_slot()
    {
        using var rig = new RingRig<PackedRing, PackedDriver>(8, VirtioFeatures.Version1 | VirtioFeatures.InOrder, inOrderDevice: true);
        for (int lap = 0; lap < 7; lap++)
        {
            for (ushort i = 0; i < 3; i++)
            {
                rig.Send(i);
            }

            rig.Driver.Publish();
            var desc = (PackedDesc*)rig.Memory[rig.Config.DescriptorArea];
            PackedDesc[] before = new ReadOnlySpan<PackedDesc>(desc, 8).ToArray();
            Assert.Equal(3, rig.Serve());
            int first = lap * 3 % 8;
            for (int i = 0; i < 8; i++)
            {
                Assert.Equal(i == first, !before[i].Flags.Equals(desc[i].Flags));
            }

            Assert.Equal((first + 2) % 8, desc[first].Id);
            Assert.Equal(3, rig.Driver.GetUsedBurst(new UsedChain[8]));
        }
    }

    [Fact]
    public unsafe void The_first_slot_of_a_batch_becomes_available_last()
    {
        using var rig = new RingRig<PackedRing, PackedDriver>(8);
        var desc = (PackedDesc*)rig.Memory[rig.Config.DescriptorArea];
        Assert.True(rig.Driver.TryAdd([rig.Buffer(), rig.Buffer()], 1, 0));
        rig.Send(1);
        Assert.Equal(VirtqDescFlags.None, desc[0].Flags);
        Assert.Equal(0, rig.Queue.Fill(8));
        rig.Driver.Publish();
        Assert.Equal(VirtqDescFlags.Avail | VirtqDescFlags.Next, desc[0].Flags);
        Assert.Equal(2, rig.Queue.Fill(8));
    }
}
