using System.Runtime.Intrinsics;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Rings;

/// <summary>Driver against device over many requests: data, order, allocation, two threads. One body for both formats.</summary>
public abstract class TrafficTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int SlotBytes = 4096;

    private static bool Packed => RingRig<TRing, TDriver>.Packed;


    [Theory]
    [InlineData(true, Order.Any)]
    [InlineData(false, Order.Any)]
    [InlineData(true, Order.InOrder)]
    [InlineData(true, Order.InOrderBatches)]
    [InlineData(false, Order.InOrderBatches)]
    public void Data_of_chains_of_every_shape_arrives_and_returns_whole(bool eventIdx, Order order)
    {
        for (int seed = 0; seed < 30; seed++)
        {
            var random = new Random(seed);
            int size = Packed ? random.Next(1, 40) : 1 << random.Next(7);
            ulong features = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | (eventIdx ? VirtioFeatures.EventIdx : 0) | (order == Order.Any ? 0 : VirtioFeatures.InOrder);
            int position = random.Next(Packed ? 2 * size : 65536);
            QueueState start = Packed
                ? QueueState.Packed((ushort)(position % size), position < size, (ushort)(position % size), position < size)
                : QueueState.Split((ushort)position);
            using var rig = new RingRig<TRing, TDriver>(size, features, start, indirectEntries: 9, inOrderDevice: order == Order.InOrderBatches);
            try
            {
                new Traffic(rig, order, random).Run(600);
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {seed}, size {size}", failure);
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Requests_after_warm_up_allocate_nothing_on_either_side(bool inOrder)
    {
        using var rig = new RingRig<TRing, TDriver>(
            256, RingRig<TRing, TDriver>.AllFeatures | (inOrder ? VirtioFeatures.InOrder : 0), indirectEntries: 8, inOrderDevice: inOrder);
        using var call = new EventFd();
        rig.Queue.SetCall(call.Duplicate());
        var used = new UsedChain[32];
        var list = new DriverBuffer[8];
        Array.Fill(list, rig.Buffer(100));
        Turns(100);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Turns(1_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Turns(int turns)
        {
            for (int turn = 0; turn < turns; turn++)
            {
                for (ushort i = 0; i < 8; i++)
                {
                    rig.Driver.TryAdd(list.AsSpan(0, 1), 1, i);
                    rig.Driver.TryAdd(list.AsSpan(0, 3), 3, i);
                    rig.Driver.TryAdd(list, 8, i, indirect: true);
                }

                rig.Driver.Publish();
                rig.Serve();
                rig.Queue.TryArm();
                rig.Queue.Disarm();
                int count = rig.Driver.TakeUsedBurst(used);
                rig.Driver.Release(used.AsSpan(0, count));
                rig.Driver.TryArmCall();
                rig.Driver.DisarmCall();
            }
        }
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void Two_threads_that_sleep_when_idle_exchange_200000_requests_without_loss(bool eventIdx, bool inOrderBatches)
    {
        const int Requests = 200_000;
        using var rig = new RingRig<TRing, TDriver>(
            64, VirtioFeatures.Version1 | (eventIdx ? VirtioFeatures.EventIdx : 0) | (inOrderBatches ? VirtioFeatures.InOrder : 0), inOrderDevice: inOrderBatches);
        GuestAddress data = rig.Memory.Allocate(64 * 64);
        using EventFd kick = new(), call = new();
        rig.Queue.SetCall(call.Duplicate());
        Exception? deviceFailure = null;
        var device = new Thread(() =>
        {
            try
            {
                RunDevice(rig.Queue, kick, Requests, inOrderBatches);
            }
            catch (Exception failure)
            {
                deviceFailure = failure;
                call.Signal();
            }
        });
        device.Start();
        try
        {
            RunDriver(rig, data, kick, call, Requests, inOrderBatches, () => deviceFailure is not null);
        }
        finally
        {
            Assert.True(device.Join(TimeSpan.FromSeconds(60)), "the device thread ends");
        }

        Assert.Null(deviceFailure);
        Assert.Equal((ChainFault.None, DriverFault.None), (rig.Queue.Fault, rig.Driver.Fault));
        Assert.Equal((64, 0), (rig.Driver.FreeDescriptors, rig.Queue.InFlight));
        Assert.Equal(Requests, rig.Queue.Completed);
    }

    [Fact]
    public void R10_a_descriptor_that_changes_all_the_time_is_seen_whole_or_refused()
    {
        // A racing driver swaps one 16-byte descriptor between two good forms; each taken chain must be one of them, never a mix.
        using var rig = new RingRig<TRing, TDriver>(4);
        GuestAddress area = rig.Memory.Allocate(1 << 16);
        ulong addressA = area.Value, addressB = area.Value + 0x8000;
        const uint LengthA = 0x111, LengthB = 0x222;
        bool stop = false;
        ushort marks = (ushort)(Packed ? VirtqDescFlags.Avail : 0);
        var a = Vector128.Create(addressA, Upper(LengthA, marks));
        var b = Vector128.Create(addressB, Upper(LengthB, marks));
        WriteDescriptor(rig, a);
        var writer = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                WriteDescriptor(rig, a);
                WriteDescriptor(rig, b);
            }
        });
        OfferFirst(rig);
        writer.Start();
        int sawA = 0, sawB = 0;
        try
        {
            long deadline = Environment.TickCount64 + 5_000;
            for (int i = 0; i < 200_000 || (i < 20_000_000 && (sawA == 0 || sawB == 0) && Environment.TickCount64 < deadline); i++)
            {
                Assert.Equal(1, rig.Queue.Fill(1));
                Chain chain = rig.Queue.Peek(0);
                bool first = chain.ReadableBytes == LengthA;
                Assert.True(first || chain.ReadableBytes == LengthB);
                unsafe
                {
                    Assert.True(chain.Readable.Buffers[0].Host == rig.Memory[new GuestAddress(first ? addressA : addressB)], "address of one form with the length of the other");
                }

                sawA += first ? 1 : 0;
                sawB += first ? 0 : 1;
                rig.Queue.ReturnUnused();
            }
        }
        finally
        {
            Volatile.Write(ref stop, true);
            writer.Join();
        }

        Assert.True(sawA > 0 && sawB > 0, $"the race took place: {sawA} and {sawB}");
    }

    [Fact]
    public void R10_an_indirect_table_that_changes_all_the_time_never_leads_outside_of_memory()
    {
        using var rig = new RingRig<TRing, TDriver>(4, indirectEntries: 4, memoryBytes: 1 << 20);
        DriverBuffer[] list = [rig.Buffer(1), rig.Buffer(2), rig.Buffer(4), rig.Buffer(8)];
        bool stop = false;
        var writer = new Thread(() =>
        {
            var random = new Random(3);
            unsafe
            {
                ulong* table = (ulong*)rig.Memory[rig.Layout.IndirectArea];
                while (!Volatile.Read(ref stop))
                {
                    ulong* entry = table + (2 * random.Next(4));
                    switch (random.Next(4))
                    {
                        case 0:
                            Volatile.Write(ref entry[0], (ulong)random.NextInt64()); // far outside
                            break;
                        case 1:
                            Volatile.Write(ref entry[1], (ulong)random.NextInt64()); // any length, flags and next
                            break;
                        default:
                            Volatile.Write(ref entry[0], rig.Data.Value);
                            Volatile.Write(ref entry[1], 16 | (1UL << 32) | ((ulong)random.Next(4) << 48));
                            break;
                    }
                }
            }
        });
        writer.Start();
        byte[] scratch = new byte[256];
        try
        {
            for (int i = 0; i < 20_000; i++)
            {
                Assert.True(rig.Driver.TryAdd(list, 4, 0, indirect: true));
                rig.Driver.Publish();
                if (rig.Queue.Fill(1) == 1)
                {
                    Chain chain = rig.Queue.Peek(0);
                    chain.Readable.CopyTo(0, scratch); // every byte that it promises is there
                    chain.Writable.CopyFrom(0, scratch.AsSpan(0, 4));
                    rig.Serve();
                    Assert.True(rig.Driver.TryGetUsed(out _, out _));
                }
                else
                {
                    Assert.NotEqual(ChainFault.None, rig.Queue.Fault);
                    rig.Queue.Dispose(); // heals by a new start
                    rig.Driver = TDriver.Open(rig.Layout);
                    rig.Queue = new Virtqueue<TRing>(rig.Config, rig.Memory.Table);
                }
            }
        }
        finally
        {
            Volatile.Write(ref stop, true);
            writer.Join();
        }
    }

    private static ulong Upper(uint lengthBytes, ushort flags) => Packed ? lengthBytes | ((ulong)flags << 48) : lengthBytes | ((ulong)flags << 32);

    private static unsafe void WriteDescriptor(RingRig<TRing, TDriver> rig, Vector128<ulong> value) =>
        Vector128.StoreAligned(value, (ulong*)rig.Memory[rig.Config.DescriptorArea]);

    private static unsafe void OfferFirst(RingRig<TRing, TDriver> rig)
    {
        if (!Packed)
        {
            Volatile.Write(ref ((ushort*)rig.Memory[rig.Config.DriverArea])[1], 1);
        }
    }

    private static void RunDevice(Virtqueue<TRing> queue, EventFd kick, int requests, bool inOrder)
    {
        using var epoll = new Epoll();
        epoll.Add(kick.Number, 1);
        var random = new Random(5);
        Span<ChainToken> held = stackalloc ChainToken[Virtqueue<TRing>.WindowSize];
        int done = 0;
        while (done < requests)
        {
            int count = queue.Fill(random.Next(1, 33));
            for (int i = 0; i < count; i++)
            {
                Chain chain = queue.Peek(i);
                held[i] = chain.Token;
                Assert.True(chain.Readable.TryRead(0, out ulong value));
                if (!inOrder)
                {
                    Assert.True(chain.Writable.TryWrite(0, ~value));
                }
            }

            queue.Consume(count);
            if (!inOrder)
            {
                random.Shuffle(held[..count]);
            }

            for (int i = 0; i < count; i++)
            {
                queue.Complete(held[i], inOrder ? 0u : 8u);
            }

            queue.Publish();
            done += count;
            if (count == 0)
            {
                Assert.Equal(ChainFault.None, queue.Fault);
                if (queue.TryArm())
                {
                    AssertSignalled(epoll, "a kick was lost");
                    kick.Drain();
                }

                queue.Disarm();
            }
        }
    }

    /// <summary>Waits for the one descriptor of a set. A signal to the thread, which the runtime sends to stop it for a collection, ends a wait early.</summary>
    private static void AssertSignalled(Epoll epoll, string otherwise)
    {
        Span<ulong> tags = stackalloc ulong[1];
        long deadline = Environment.TickCount64 + 20_000;
        while (epoll.Wait(tags, 1000) == 0)
        {
            Assert.True(Environment.TickCount64 < deadline, otherwise);
        }
    }

    private static void RunDriver(RingRig<TRing, TDriver> rig, GuestAddress data, EventFd kick, EventFd call, int requests, bool inOrder, Func<bool> failed)
    {
        using var epoll = new Epoll();
        epoll.Add(call.Number, 1);
        var random = new Random(6);
        var free = new Stack<ushort>(Enumerable.Range(0, 32).Select(i => (ushort)i));
        int sent = 0, received = 0;
        Span<byte> seen = stackalloc byte[24];
        while (received < requests && !failed())
        {
            for (int i = random.Next(1, 33); i > 0 && sent < requests && free.TryPop(out ushort cookie); i--)
            {
                var at = new GuestAddress(data.Value + (cookie * 64UL));
                rig.Memory.Table.TryWrite(at, BitConverter.GetBytes((ulong)sent * 0x9e37_79b9_7f4a_7c15));
                bool added = inOrder
                    ? rig.Driver.TryAdd([new DriverBuffer(at, 8)], 1, cookie)
                    : rig.Driver.TryAdd([new DriverBuffer(at, 8), new DriverBuffer(new GuestAddress(at.Value + 16), 8)], 1, cookie);
                Assert.True(added);
                sent++;
            }

            if (rig.Driver.Publish())
            {
                kick.Signal();
            }

            int before = received;
            while (rig.Driver.TryGetUsed(out ushort cookie, out uint written))
            {
                Assert.True(rig.Memory.Table.TryRead(new GuestAddress(data.Value + (cookie * 64UL)), seen));
                Assert.Equal(inOrder ? 0u : 8u, written);
                Assert.True(inOrder || ~BitConverter.ToUInt64(seen) == BitConverter.ToUInt64(seen[16..]));
                free.Push(cookie);
                received++;
            }

            Assert.Equal(DriverFault.None, rig.Driver.Fault);
            if (received == before && (sent == requests || free.Count == 0) && received < requests)
            {
                if (rig.Driver.TryArmCall())
                {
                    AssertSignalled(epoll, "a call was lost");
                    call.Drain();
                }

                rig.Driver.DisarmCall();
            }
        }
    }

    /// <summary>Random requests whose bytes say what they are; the device answers with the bytes changed in a known way.</summary>
    private sealed class Traffic(RingRig<TRing, TDriver> rig, Order order, Random random)
    {
        private readonly GuestAddress _area = rig.Memory.Allocate((ulong)rig.Layout.Size * SlotBytes);
        private readonly Stack<ushort> _freeSlots = new(Enumerable.Range(0, rig.Layout.Size).Select(i => (ushort)i));
        private readonly Dictionary<ushort, Request> _requests = [];
        private readonly List<ChainToken> _inDevice = [];
        private readonly Queue<ushort> _sentOrder = [];
        private readonly UsedChain[] _used = new UsedChain[16];
        private int _sent;
        private int _received;

        public void Run(int total)
        {
            for (int turn = 0; _received < total; turn++)
            {
                Assert.True(turn < total * 200, "progress");
                switch (random.Next(4))
                {
                    case 0:
                        Send(random.Next(1, 6), total);
                        break;
                    case 1:
                        Take();
                        break;
                    case 2:
                        Complete();
                        break;
                    default:
                        Receive();
                        break;
                }

                Assert.Equal((ChainFault.None, DriverFault.None), (rig.Queue.Fault, rig.Driver.Fault));
            }

            Assert.Equal((rig.Layout.Size, 0, 0), (rig.Driver.FreeDescriptors, rig.Driver.InFlight, rig.Queue.InFlight));
        }

        private void Send(int count, int total)
        {
            for (; count > 0 && _sent < total && _freeSlots.TryPeek(out ushort slot); count--)
            {
                bool indirect = random.Next(3) == 0;
                int buffers = random.Next(1, Math.Min(indirect ? 9 : 7, indirect ? 9 : rig.Layout.Size) + 1);
                bool noWrites = order == Order.InOrderBatches;
                int readable = noWrites ? buffers : random.Next(0, buffers + 1);
                var list = new DriverBuffer[buffers];
                ulong at = _area.Value + (ulong)(slot * SlotBytes);
                uint readableBytes = 0, writableBytes = 0;
                for (int i = 0; i < buffers; i++)
                {
                    uint length = (uint)random.Next(0, 200);
                    list[i] = new DriverBuffer(new GuestAddress(at), length);
                    at += length + (ulong)random.Next(20);
                    readableBytes += i < readable ? length : 0;
                    writableBytes += i < readable ? 0 : length;
                }

                byte[] payload = new byte[readableBytes];
                random.NextBytes(payload);
                rig.Memory.Bytes(new GuestAddress(_area.Value + (ulong)(slot * SlotBytes)), SlotBytes).Fill(0xcc);
                Scatter(list.AsSpan(0, readable), payload);
                if (!rig.Driver.TryAdd(list, readable, slot, indirect))
                {
                    break;
                }

                _freeSlots.Pop();
                _requests.Add(slot, new Request(list, readable, payload, writableBytes));
                _sentOrder.Enqueue(slot);
                _sent++;
            }

            if (random.Next(3) != 0 || _sent == total)
            {
                rig.Driver.Publish();
            }
        }

        private void Take()
        {
            int count = rig.Queue.Fill(random.Next(1, 20));
            count = random.Next(count + 1);

            // Some of them are completed at once, all together: in the ring's order where nothing older waits, else anywhere in the window.
            bool run = random.Next(3) == 0 && (order == Order.Any || _inDevice.Count == 0);
            int first = run && order == Order.Any ? random.Next(count + 1) : 0, end = run ? random.Next(first, count + 1) : 0;
            uint[] written = new uint[end - first];
            for (int i = 0; i < count; i++)
            {
                Chain chain = rig.Queue.Peek(i);
                if (i >= first && i < end)
                {
                    written[i - first] = Math.Min(chain.ReadableBytes, chain.WritableBytes);
                }
                else
                {
                    _inDevice.Add(chain.Token);
                }

                byte[] bytes = new byte[chain.ReadableBytes];
                Assert.Equal(bytes.Length, chain.Readable.CopyTo(0, bytes));
                for (int j = 0; j < bytes.Length; j++)
                {
                    bytes[j] ^= 0x5a;
                }

                chain.Writable.CopyFrom(0, bytes);
            }

            rig.Queue.CompleteRun(first, end - first, Array.TrueForAll(written, length => length == 0) ? [] : written);
            rig.Queue.Consume(count);
        }

        private void Complete()
        {
            for (int i = random.Next(_inDevice.Count + 1); i > 0; i--)
            {
                int index = order == Order.Any ? random.Next(_inDevice.Count) : 0;
                ChainToken token = _inDevice[index];
                _inDevice.RemoveAt(index);
                Chain chain = rig.Queue[token];
                rig.Queue.Complete(token, Math.Min(chain.ReadableBytes, chain.WritableBytes));
            }

            if (random.Next(3) != 0)
            {
                rig.Queue.Publish();
            }
        }

        private void Receive()
        {
            Span<UsedChain> used = _used.AsSpan(0, random.Next(_used.Length + 1));
            bool take = random.Next(2) == 0;
            int count = take ? rig.Driver.TakeUsedBurst(used) : rig.Driver.GetUsedBurst(used);
            for (int i = 0; i < count; i++)
            {
                Assert.True(_requests.Remove(used[i].Cookie, out Request? request));
                if (order != Order.Any)
                {
                    Assert.Equal(_sentOrder.Dequeue(), used[i].Cookie);
                }

                Assert.Equal(Math.Min((uint)request.Payload.Length, request.WritableBytes), used[i].WrittenBytes);
                byte[] answer = Gather(request.List.AsSpan(request.Readable));
                for (int j = 0; j < answer.Length; j++)
                {
                    Assert.Equal(j < used[i].WrittenBytes ? (byte)(request.Payload[j] ^ 0x5a) : (byte)0xcc, answer[j]);
                }

                Assert.Equal(request.Payload, Gather(request.List.AsSpan(0, request.Readable)));
                _freeSlots.Push(used[i].Cookie);
                _received++;
            }

            if (take)
            {
                rig.Driver.Release(used[..count]);
            }
        }

        private void Scatter(ReadOnlySpan<DriverBuffer> list, byte[] bytes)
        {
            int from = 0;
            foreach (DriverBuffer buffer in list)
            {
                bytes.AsSpan(from, (int)buffer.LengthBytes).CopyTo(rig.Memory.Bytes(buffer.Address, (int)buffer.LengthBytes));
                from += (int)buffer.LengthBytes;
            }
        }

        private byte[] Gather(ReadOnlySpan<DriverBuffer> list)
        {
            var bytes = new List<byte>();
            foreach (DriverBuffer buffer in list)
            {
                bytes.AddRange(rig.Memory.Bytes(buffer.Address, (int)buffer.LengthBytes));
            }

            return [.. bytes];
        }

        private sealed record Request(DriverBuffer[] List, int Readable, byte[] Payload, uint WritableBytes);
    }
}

/// <summary>How the device of a traffic test completes.</summary>
public enum Order
{
    Any,
    InOrder,
    InOrderBatches,
}

public sealed class SplitTrafficTests : TrafficTests<SplitRing, SplitDriver>;

public sealed class PackedTrafficTests : TrafficTests<PackedRing, PackedDriver>;
