using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Rings;

/// <summary>Chains that are completed and not yet published: still the device's, since the driver cannot know that they are not.</summary>
public abstract class UnpublishedTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private static RingFormat Format => RingRig<TRing, TDriver>.Packed ? RingFormat.Packed : RingFormat.Split;

    [Theory, MemberData(nameof(Cases.UnpublishedShapes), MemberType = typeof(Cases))]
    public void R13_a_driver_that_never_waits_for_used_chains_gets_one_ring_of_them_between_two_publications(int size, int descriptors, bool recorded)
    {
        foreach (bool inRuns in (bool[])[false, true])
        {
            using MemFd file = InflightRecord.Create(Format, 1, size);
            using InflightRecord? record = recorded ? InflightRecord.Map(file, 0, file.LengthBytes, 1, size) : null;
            using RingRig<TRing, TDriver> rig = Open(size, record);
            var raw = new RawDriver(rig.Memory, rig.Config);
            RawDesc[] chain = ChainOf(rig, raw, descriptors);
            int completed = 0;
            for (; completed <= 4 * size; completed++)
            {
                raw.NextId = (ushort)(completed % size);
                raw.Add(chain);
                raw.Publish();
                if (rig.Queue.Fill(1) == 0)
                {
                    break;
                }

                CompleteOldest(rig.Queue, inRuns);
            }

            Assert.Equal(size / chain.Length, completed);
            Assert.Equal(ChainFault.TooManyInFlight, rig.Queue.Fault);
            rig.Queue.Publish(); // what was accepted comes back
            Assert.Equal(0, rig.Queue.InFlight);
        }
    }

    [Theory, MemberData(nameof(Cases.UnpublishedShapes), MemberType = typeof(Cases))]
    public void A_ring_of_chains_may_be_completed_before_any_is_published_and_offered_again_afterwards(int size, int descriptors, bool recorded)
    {
        using MemFd file = InflightRecord.Create(Format, 1, size);
        using InflightRecord? record = recorded ? InflightRecord.Map(file, 0, file.LengthBytes, 1, size) : null;
        using RingRig<TRing, TDriver> rig = Open(size, record);
        var raw = new RawDriver(rig.Memory, rig.Config);
        RawDesc[] chain = ChainOf(rig, raw, descriptors);
        int fitting = size / chain.Length;
        for (int round = 0; round < 5; round++)
        {
            // One after the other: those at hand and those completed are all of the ring in the end.
            for (int i = 0; i < fitting; i++)
            {
                raw.NextId = (ushort)i;
                raw.Add(chain);
                raw.Publish();
                Assert.Equal(1, rig.Queue.Fill(1));
                CompleteOldest(rig.Queue, inRuns: i % 2 == 0);
                Assert.Equal(0, rig.Queue.Fill(64));
            }

            rig.Queue.Publish();
        }

        Assert.Equal(ChainFault.None, rig.Queue.Fault);
        Assert.Equal(5 * fitting, rig.Queue.Completed);
    }

    private static RingRig<TRing, TDriver> Open(int size, InflightRecord? record)
    {
        var rig = new RingRig<TRing, TDriver>(size);
        rig.Queue.Dispose();
        rig.Queue = new Virtqueue<TRing>(rig.Config with { Inflight = record }, rig.Memory.Table) { Enabled = true };
        return rig;
    }

    private static RawDesc[] ChainOf(RingRig<TRing, TDriver> rig, RawDriver raw, int descriptors)
    {
        var buffer = new RawDesc(rig.Data, 64);
        if (descriptors != 0)
        {
            return [.. Enumerable.Repeat(buffer, descriptors)];
        }

        GuestAddress table = raw.Table(rig.Memory.Allocate(32), buffer, buffer);
        return [new RawDesc(table, 32, VirtqDescFlags.Indirect)];
    }

    private static void CompleteOldest(Virtqueue<TRing> queue, bool inRuns)
    {
        if (inRuns)
        {
            queue.CompleteRun(0, 1, []);
        }
        else
        {
            queue.Complete(queue.Peek(0).Token, 0);
        }

        queue.Consume(1);
    }
}

public sealed class SplitUnpublishedTests : UnpublishedTests<SplitRing, SplitDriver>;

public sealed class PackedUnpublishedTests : UnpublishedTests<PackedRing, PackedDriver>;
