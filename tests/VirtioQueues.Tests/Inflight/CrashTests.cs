using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Inflight;

/// <summary>The device's process dies, anywhere, and another one goes on from ring and record. One body for both formats.</summary>
public abstract class CrashTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    [Theory, MemberData(nameof(Cases.RingShapes), MemberType = typeof(Cases))]
    public void I1_a_device_that_dies_before_any_store_at_all_leaves_nothing_lost_and_nothing_doubled(int size, bool eventIndex, bool indirect, bool inOrder, int first)
    {
        int deaths = 0;
        for (int store = 0; ; store++)
        {
            using CrashRig<TRing, TDriver> rig = Rig(size, eventIndex, indirect, inOrder, first);
            bool died = RunScript(rig, store);
            rig.Finish();
            if (!died)
            {
                break;
            }

            Assert.True(++deaths < 20_000, "the script ends");
        }

        Assert.True(deaths > 8, "stores before which one can die: this needs a debug build");
    }

    [Fact]
    public void I1_a_successor_that_dies_before_any_store_of_its_own_start_leaves_nothing_lost_and_nothing_doubled()
    {
        int deaths = 0;
        bool diedFirst = true;
        for (int store = 0; diedFirst; store++)
        {
            bool diedAgain = true;
            for (int second = 0; diedFirst && diedAgain; second++)
            {
                using CrashRig<TRing, TDriver> rig = Rig(4, eventIndex: true, indirect: true, inOrder: false, first: 2);
                diedFirst = RunScript(rig, store, second);
                diedAgain = rig.Deaths > 1;
                deaths += diedAgain ? 1 : 0;
                rig.Finish();
                Assert.True(second < 1000, "a start ends");
            }
        }

        Assert.True(deaths > 50, $"{deaths} deaths of successors");
    }

    [Theory, MemberData(nameof(Cases.RingShapes), MemberType = typeof(Cases))]
    public void I1_a_device_that_dies_again_and_again_at_random_leaves_nothing_lost_and_nothing_doubled(int size, bool eventIndex, bool indirect, bool inOrder, int first)
    {
        // Not HashCode.Combine: it is another number in each process, and a case that failed could not be had again.
        var random = new Random((size * 8) + (eventIndex ? 4 : 0) + (indirect ? 2 : 0) + (inOrder ? 1 : 0));
        using CrashRig<TRing, TDriver> rig = Rig(size, eventIndex, indirect, inOrder, first);
        int lifetime = 60 + (12 * Math.Min(size, 64));
        CrashRig<TRing, TDriver>.DieBefore(random.Next(lifetime));
        for (int turn = 0; turn < 12_000; turn++)
        {
            try
            {
                Turn(rig, random, size);
            }
            catch (DiedException)
            {
                Revive(rig, random, lifetime);
            }
        }

        rig.RestartUntilAlive();
        rig.Finish();
        Assert.True(rig.Deaths > 20, $"{rig.Deaths} deaths");
        Assert.True(rig.Sent > 100 && rig.Repeated > 10, $"{rig.Sent} requests, {rig.Repeated} of them executed again");
    }

    [Fact]
    public void What_was_completed_out_of_order_before_the_end_is_not_done_again_and_the_rest_comes_in_its_old_order()
    {
        using CrashRig<TRing, TDriver> rig = Rig(8, eventIndex: true, indirect: false, inOrder: false, first: 5);
        for (int i = 0; i < 6; i++)
        {
            Assert.True(rig.Send(1));
        }

        rig.Show();
        Assert.Equal(5, rig.Take(5, 5));
        rig.Complete(4);
        rig.Complete(1);
        rig.Queue.Publish();
        rig.RestartUntilAlive();
        Assert.Equal(CrashRig<TRing, TDriver>.Packed ? 0 : 3, rig.Queue.Unserved); // packed rings are laid out anew instead
        Assert.False(rig.Queue.TryArm());
        Assert.Equal(2, rig.Take(2, 2));
        int more = rig.Take(64, 64);
        Assert.Equal(4, 2 + more + rig.Take(64, 64)); // 0, 2 and 3, then 5
        rig.Finish();
        Assert.Equal(3, rig.Repeated);
    }

    [Fact]
    public void With_a_device_that_completes_in_order_the_ring_alone_tells_where_to_go_on()
    {
        using CrashRig<TRing, TDriver> rig = Rig(16, eventIndex: true, indirect: false, inOrder: true, first: 11);
        for (int i = 0; i < 12; i++)
        {
            Assert.True(rig.Send(1));
        }

        rig.Show();
        Assert.Equal(9, rig.Take(9, 9));
        for (int i = 0; i < 4; i++)
        {
            rig.Complete(0);
        }

        rig.Queue.Publish();
        rig.RestartUntilAlive();
        Assert.Equal(0, rig.Queue.Unserved);

        // Nothing is in flight any more, so another device can go on without the record.
        QueueState state = rig.Stop();
        rig.Start(rig.Config with { State = state, Inflight = null });
        Assert.Equal(8, rig.Take(64, 64));
        rig.Finish();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_clean_stop_leaves_nothing_in_the_record_and_an_exact_state(bool takesAll)
    {
        using CrashRig<TRing, TDriver> rig = Rig(8, eventIndex: false, indirect: false, inOrder: false, first: 3);
        for (int life = 0; life < 40; life++)
        {
            rig.Send(1 + (life % 2));
            rig.Send(1);
            rig.Send(1);
            rig.Show();
            rig.Take(takesAll ? 64 : 2, takesAll ? 64 : 1);
            QueueState state = rig.Stop();
            Assert.Equal(0, InFlight(rig));
            rig.Start(life % 2 == 0 ? rig.Config : rig.Config with { State = state });
            Assert.Equal((ChainFault.None, state), (rig.Queue.Fault, rig.Queue.State));
            rig.Collect();
        }

        rig.Finish();
        Assert.Equal(0, rig.Repeated);
    }

    [Fact]
    public void I8_what_one_queue_stops_without_doing_is_done_once_by_the_next_from_the_same_record()
    {
        using CrashRig<TRing, TDriver> rig = Rig(16, eventIndex: true, indirect: true, inOrder: false, first: 0);
        var random = new Random(8);
        for (int life = 0; life < 300; life++)
        {
            while (rig.Send(1))
            {
            }

            rig.Show();
            int taken = rig.Take(random.Next(1, 17), 16);
            for (int i = random.Next(taken + 1); i > 0; i--)
            {
                rig.Complete(random.Next(16));
            }

            rig.Queue.Publish();
            rig.Queue.ReturnUnused();
            rig.RestartUntilAlive(); // what was taken and not completed stays recorded
            rig.Collect();
        }

        rig.Finish();
    }

    [Fact]
    public void A_record_for_larger_queues_serves_a_smaller_one()
    {
        using var rig = new CrashRig<TRing, TDriver>(4, entries: 64);
        var random = new Random(3);
        CrashRig<TRing, TDriver>.DieBefore(random.Next(40));
        for (int turn = 0; turn < 3000; turn++)
        {
            try
            {
                Turn(rig, random, 4);
            }
            catch (DiedException)
            {
                Revive(rig, random, 40);
            }
        }

        rig.RestartUntilAlive();
        rig.Finish();
    }

    [Fact]
    public void I2_a_record_that_is_overwritten_while_it_is_in_use_harms_nobody_who_uses_it()
    {
        using CrashRig<TRing, TDriver> rig = Rig(8, eventIndex: true, indirect: true, inOrder: false, first: 0);
        var random = new Random(2);
        for (int turn = 0; turn < 5000; turn++)
        {
            Span<byte> part = rig.PartOf(1);
            part[random.Next(part.Length)] = (byte)random.Next(256);
            Turn(rig, random, 8);
            Assert.Equal(ChainFault.None, rig.Queue.Fault);
        }

        rig.Finish();
        Assert.Equal(0, rig.Repeated);
    }

    [Fact]
    public void A_recorded_queue_allocates_nothing_while_it_runs()
    {
        using CrashRig<TRing, TDriver> rig = Rig(64, eventIndex: true, indirect: false, inOrder: false, first: 0);
        Assert.True(Measure() >= 0); // the first round compiles
        Assert.Equal(0, Measure());

        long Measure()
        {
            long allocated = 0;
            for (int turn = 0; turn < 300; turn++)
            {
                while (rig.Send(1))
                {
                }

                rig.Show();
                long before = GC.GetAllocatedBytesForCurrentThread();
                int count = rig.Queue.Fill(64);
                for (int i = 0; i < count; i++)
                {
                    rig.Queue.Complete(rig.Queue.Peek(i).Token, 0);
                }

                rig.Queue.Consume(count);
                rig.Queue.Publish();
                allocated += GC.GetAllocatedBytesForCurrentThread() - before;
                rig.CollectBlindly();
            }

            return allocated;
        }
    }

    private static int InFlight(CrashRig<TRing, TDriver> rig)
    {
        (int header, int entry) = CrashRig<TRing, TDriver>.Packed ? (32, 32) : (16, 16);
        Span<byte> part = rig.PartOf(1);
        int count = 0;
        for (int i = 0; i < rig.Entries; i++)
        {
            count += part[header + (i * entry)];
        }

        return count;
    }

    private static CrashRig<TRing, TDriver> Rig(int size, bool eventIndex, bool indirect, bool inOrder, int first)
    {
        QueueState start = CrashRig<TRing, TDriver>.Packed
            ? QueueState.Packed((ushort)(first % size), first % 2 == 0, (ushort)(first % size), first % 2 == 0)
            : QueueState.Split((ushort)first);
        return new CrashRig<TRing, TDriver>(size, eventIndex ? VirtioFeatures.EventIdx : 0, indirect, inOrder, start);
    }

    /// <summary>A life with everything in it: taking, giving back, completing out of order, two publications. The device dies before the given store.</summary>
    /// <returns>False when it lived to the end.</returns>
    private static bool RunScript(CrashRig<TRing, TDriver> rig, int store, int? storeOfSuccessor = null)
    {
        int size = rig.Config.Size;
        CrashRig<TRing, TDriver>.DieBefore(store);
        try
        {
            for (int round = 0; round < 2; round++)
            {
                for (int i = 0; i < Math.Min(size, 6) && rig.Send(1 + (i % Math.Min(3, size))); i++)
                {
                }

                rig.Show();
                rig.Take(4, 2);
                rig.Queue.ReturnUnused();
                rig.Take(3, 3);
                rig.Complete(1);
                rig.Queue.Publish();
                rig.Complete(1);
                rig.Take(1, 1);
                rig.Complete(0);
                rig.Queue.Publish();
                rig.Collect();
            }

            CrashRig<TRing, TDriver>.Live();
            return false;
        }
        catch (DiedException)
        {
            if (store % 2 == 0)
            {
                rig.Collect(); // the driver may see what was published before the successor starts, or afterwards
            }

            if (storeOfSuccessor is { } second)
            {
                CrashRig<TRing, TDriver>.DieBefore(second);
                try
                {
                    rig.Restart();
                }
                catch (DiedException)
                {
                    rig.RestartUntilAlive();
                }

                CrashRig<TRing, TDriver>.Live();
                return true;
            }

            rig.RestartUntilAlive();
            return true;
        }
    }

    private static void Turn(CrashRig<TRing, TDriver> rig, Random random, int size)
    {
        switch (random.Next(8))
        {
            case 0:
                for (int i = random.Next(size + 1); i >= 0 && rig.Send(1 + random.Next(Math.Min(3, size))); i--)
                {
                }

                break;
            case 1:
                rig.Show();
                break;
            case 2:
                rig.Collect();
                break;
            case 3:
            case 4:
                rig.Take(random.Next(1, 65), random.Next(size + 1));
                break;
            case 5:
                for (int i = random.Next(1, size + 1); i > 0 && rig.Complete(random.Next(size)); i--)
                {
                }

                break;
            case 6:
                rig.Queue.Publish();
                break;
            default:
                rig.Queue.ReturnUnused();
                break;
        }
    }

    private static void Revive(CrashRig<TRing, TDriver> rig, Random random, int lifetime)
    {
        if (random.Next(2) == 0)
        {
            rig.Collect();
        }

        while (true)
        {
            CrashRig<TRing, TDriver>.DieBefore(random.Next(lifetime + (4 * rig.Entries))); // a start may take that many
            try
            {
                rig.Restart();
                Assert.Equal(ChainFault.None, rig.Queue.Fault);
                return;
            }
            catch (DiedException)
            {
                // The successor died while it started.
            }
        }
    }
}

public sealed class SplitCrashTests : CrashTests<SplitRing, SplitDriver>;

public sealed class PackedCrashTests : CrashTests<PackedRing, PackedDriver>;
