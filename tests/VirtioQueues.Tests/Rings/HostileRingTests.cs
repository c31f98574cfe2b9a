using System.Diagnostics;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Rings;

/// <summary>Rings filled with garbage by the other side: no crash, bounded time, books that stay right. A failure names its seed.</summary>
public abstract class HostileRingTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int MemoryBytes = 1 << 16;

    private static bool Packed => RingRig<TRing, TDriver>.Packed;

    [Fact]
    public void R9_a_device_survives_rings_of_garbage()
    {
        int first = Environment.TickCount; // a new place every run; the message says how to come back
        var faults = new HashSet<ChainFault>();
        long served = 0;
        for (int seed = first; seed != unchecked(first + 3_000); seed = unchecked(seed + 1))
        {
            try
            {
                AttackDevice(new Random(seed), faults, ref served);
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {seed}", failure);
            }
        }

        Assert.True(served > 0, "some chains were good");
        Assert.True(faults.Count >= 6, $"faults seen: {string.Join(' ', faults)}");
    }

    [Fact]
    public void A_driver_survives_a_device_that_writes_garbage()
    {
        int first = Environment.TickCount;
        var faults = new HashSet<DriverFault>();
        for (int seed = first; seed != unchecked(first + 3_000); seed = unchecked(seed + 1))
        {
            try
            {
                AttackDriver(new Random(seed), faults);
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {seed}", failure);
            }
        }

        Assert.True(faults.Count >= (Packed ? 3 : 4), $"faults seen: {string.Join(' ', faults)}");
    }

    private static void AttackDevice(Random random, HashSet<ChainFault> faults, ref long served)
    {
        int size = Packed ? random.Next(1, 33) : 1 << random.Next(6);
        ulong features = VirtioFeatures.Version1 | (random.Next(4) != 0 ? VirtioFeatures.IndirectDesc : 0) | (random.Next(2) != 0 ? VirtioFeatures.EventIdx : 0);
        using var rig = new RingRig<TRing, TDriver>(size, features, memoryBytes: MemoryBytes, inOrderDevice: random.Next(2) == 0);
        var inFlight = new List<ChainToken>();
        long start = Stopwatch.GetTimestamp();
        for (int turn = 0; turn < 12; turn++)
        {
            Scribble(rig, random);
            int count = rig.Queue.Fill(random.Next(1, 65)), consumed = random.Next(count + 1);
            for (int i = 0; i < consumed; i++)
            {
                Chain chain = rig.Queue.Peek(i);
                Assert.True((ulong)chain.ReadableBytes + chain.WritableBytes <= uint.MaxValue);
                Touch(chain);
                inFlight.Add(chain.Token);
            }

            rig.Queue.Consume(consumed);
            for (int i = random.Next(inFlight.Count + 1); i > 0; i--)
            {
                int index = random.Next(inFlight.Count);
                rig.Queue.Complete(inFlight[index], 0);
                inFlight.RemoveAt(index);
                served++;
            }

            rig.Queue.Publish();
            Assert.Equal(inFlight.Count, rig.Queue.InFlight);
            if (random.Next(3) == 0)
            {
                rig.Queue.ReturnUnused();
            }

            rig.Queue.TryArm();
            rig.Queue.Disarm();
        }

        faults.Add(rig.Queue.Fault);
        foreach (ChainToken token in inFlight)
        {
            rig.Queue.Complete(token, 0);
        }

        rig.Queue.ReturnUnused();
        rig.Queue.Publish();
        Assert.Equal(0, rig.Queue.InFlight);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(10), "bounded");
    }

    // Reads and writes every byte that the chain promises: one that lay outside would end the process.
    private static void Touch(Chain chain)
    {
        Span<byte> scratch = stackalloc byte[512];
        for (uint at = 0; at < chain.ReadableBytes && at < MemoryBytes * 4; at += 512)
        {
            Assert.Equal((int)Math.Min(512, chain.ReadableBytes - at), chain.Readable.CopyTo(at, scratch));
        }

        for (uint at = 0; at < chain.WritableBytes && at < MemoryBytes * 4; at += 512)
        {
            int now = (int)Math.Min(512, chain.WritableBytes - at);
            Assert.Equal(now, chain.Writable.CopyTo(at, scratch));
            Assert.Equal(now, chain.Writable.CopyFrom(at, scratch[..now])); // the same bytes back: rings may lie there
        }
    }

    private static unsafe void Scribble(RingRig<TRing, TDriver> rig, Random random)
    {
        int size = rig.Layout.Size;
        byte* desc = rig.Memory[rig.Config.DescriptorArea];
        for (int i = random.Next(2 * size) + 1; i > 0; i--)
        {
            ulong address = random.Next(8) switch
            {
                0 => (ulong)random.NextInt64(),
                1 => TestMemory.Base + MemoryBytes - (ulong)random.Next(64),
                2 => rig.Config.DescriptorArea.Value + (ulong)random.Next(16 * size),
                _ => TestMemory.Base + (ulong)random.Next(MemoryBytes),
            };
            uint length = random.Next(6) switch
            {
                0 => (uint)random.NextInt64(),
                1 => 0,
                2 => (uint)random.Next(1, 40) * 16,
                _ => (uint)random.Next(2000),
            };
            uint flags = (uint)random.Next(8) switch
            {
                0 => (uint)random.Next(65536),
                1 => 1,
                2 => 2,
                3 => 4,
                4 => 3,
                _ => 0,
            };
            uint other = (uint)(random.Next(10) == 0 ? random.Next(65536) : random.Next(size));
            if (Packed)
            {
                flags = (flags & 0x7f7f) | (random.Next(8) switch { 0 => 0u, 1 => 0x8080u, 2 => 0x8000u, _ => 0x80u });
            }

            ulong* slot = (ulong*)(desc + (16 * random.Next(size)));
            slot[0] = address;
            Volatile.Write(ref slot[1], length | (Packed ? ((ulong)other << 32) | ((ulong)flags << 48) : ((ulong)flags << 32) | ((ulong)other << 48)));
        }

        if (!Packed)
        {
            ushort* avail = (ushort*)rig.Memory[rig.Config.DriverArea];
            for (int i = 0; i < size; i++)
            {
                avail[2 + i] = (ushort)(random.Next(60) == 0 ? random.Next(65536) : random.Next(size));
            }

            avail[0] = (ushort)random.Next(4);
            avail[2 + size] = (ushort)random.Next(65536);
            avail[1] = random.Next(20) == 0 ? (ushort)random.Next(65536) : unchecked((ushort)(rig.Queue.State.NextAvail + random.Next(size + 1)));
        }
        else
        {
            *(uint*)rig.Memory[rig.Config.DriverArea] = (uint)random.NextInt64();
        }
    }

    private static unsafe void AttackDriver(Random random, HashSet<DriverFault> faults)
    {
        int size = Packed ? random.Next(1, 20) : 1 << random.Next(5);
        ulong features = VirtioFeatures.Version1 | (random.Next(2) != 0 ? VirtioFeatures.EventIdx : 0) | (random.Next(2) != 0 ? VirtioFeatures.InOrder : 0);
        using var rig = new RingRig<TRing, TDriver>(size, features, memoryBytes: MemoryBytes);
        var used = new UsedChain[8];
        var outstanding = new HashSet<ushort>();
        ushort cookie = 0, index = 0;
        for (int turn = 0; turn < 60; turn++)
        {
            for (int i = random.Next(4); i > 0; i--)
            {
                int buffers = random.Next(1, Math.Min(3, size) + 1);
                if (rig.Driver.TryAdd(Enumerable.Repeat(rig.Buffer(50), buffers).ToArray(), random.Next(buffers + 1), cookie))
                {
                    outstanding.Add(cookie++);
                }
            }

            rig.Driver.Publish();
            for (int i = random.Next(3); i > 0; i--)
            {
                uint id = (uint)(random.Next(12) == 0 ? random.Next(65536) : random.Next(size)), length = (uint)(random.Next(12) == 0 ? random.Next() : random.Next(40));
                if (Packed)
                {
                    ulong marks = random.Next(4) switch { 0 => 0x8080u, 1 => 0x8082u, 2 => 0u, _ => 2u };
                    ((ulong*)rig.Memory[rig.Config.DescriptorArea])[(2 * random.Next(size)) + 1] = length | ((ulong)id << 32) | (marks << 48);
                }
                else
                {
                    byte* area = rig.Memory[rig.Config.DeviceArea];
                    ((VirtqUsedElem*)(area + 4))[index++ & (size - 1)] = new VirtqUsedElem(random.Next(30) == 0 ? (uint)random.NextInt64() : id, length);
                    ((ushort*)area)[1] = random.Next(30) == 0 ? (ushort)random.Next(65536) : index;
                }
            }

            bool take = random.Next(2) == 0;
            int count = take ? rig.Driver.TakeUsedBurst(used) : rig.Driver.GetUsedBurst(used);
            for (int i = 0; i < count; i++)
            {
                Assert.True(outstanding.Remove(used[i].Cookie), "each chain comes back once");
                Assert.InRange(used[i].WrittenBytes, 0u, 150u);
            }

            if (take)
            {
                rig.Driver.Release(used.AsSpan(0, count));
            }

            rig.Driver.TryArmCall();
            Assert.InRange(rig.Driver.FreeDescriptors, 0, size);
            if (rig.Driver.Fault != DriverFault.None)
            {
                Assert.Equal(0, rig.Driver.GetUsedBurst(used)); // latched
            }
        }

        faults.Add(rig.Driver.Fault);
    }
}

public sealed class SplitHostileRingTests : HostileRingTests<SplitRing, SplitDriver>;

public sealed class PackedHostileRingTests : HostileRingTests<PackedRing, PackedDriver>;
