using System.Diagnostics;
using Paravane.Hypervisor.Memory;
using Paravane.Peers;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.EndToEnd.Crash;

/// <summary>paravane-net's loop is killed under traffic, and another one takes its rings over.</summary>
[Collection(BusyMachine.Name)]
public sealed class CrashedLoopTests
{
    private const int Kills = 100, Size = 64, HeaderBytes = 12, FrameBytes = 64, SlotBytes = 128;
    private const ulong MergeableBuffers = 1UL << 15; // VIRTIO_NET_F_MRG_RXBUF

    /// <summary>The wire is lossless, but a frame that was delivered before its sender heard of it is sent again by the successor.</summary>
    [Fact]
    public void I4_split_rings_lose_no_frame_and_no_buffer_at_kill_9() => Run<SplitDriver>(0);

    /// <summary>The same for packed rings.</summary>
    [Fact]
    public void I4_packed_rings_lose_no_frame_and_no_buffer_at_kill_9() => Run<PackedDriver>(VirtioFeatures.RingPacked);

    private static void Run<TDriver>(ulong format)
        where TDriver : struct, IDriverRing<TDriver>
    {
        ulong features = VirtioFeatures.Version1 | VirtioFeatures.EventIdx | MergeableBuffers | format;
        using var scratch = TemporaryDirectory.Create();
        using GuestRam ram = GuestRam.Create(2 << 20);
        using var device = new CrashingDevice(Programs.Net, scratch.File("net"), ["--net=loop"], features, ram, 2, Size);
        TDriver receive = TDriver.Open(device.Queues[0].Ring), transmit = TDriver.Open(device.Queues[1].Ring);
        GuestArea room = ram.Allocate(Size * SlotBytes, 4096), frames = ram.Allocate(Size * SlotBytes, 4096);
        Stack<ushort> freeRoom = new(Enumerable.Range(0, Size).Select(i => (ushort)i)), freeFrames = new(Enumerable.Range(0, Size).Select(i => (ushort)i));
        var times = new List<int>(); // by frame number
        int expected = 0, doubled = 0, completed = 0;
        var restarts = new RestartTimes();
        device.Start();
        var random = new Random(9);
        for (int kill = 0; kill <= Kills; kill++)
        {
            int target = times.Count + random.Next(500, 3000);
            long start = Stopwatch.GetTimestamp();
            while (times.Count < target)
            {
                Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20), "traffic stands still");
                Turn(sends: true);
            }

            if (kill < Kills)
            {
                long there = device.KillAndStartAgain(() => Turn(sends: true));
                int before = completed;
                while (completed == before)
                {
                    Assert.True(Stopwatch.GetElapsedTime(there) < TimeSpan.FromSeconds(20), "nothing completes");
                    Turn(sends: true);
                }

                restarts.Add(there);
            }
        }

        long end = Stopwatch.GetTimestamp();
        while (freeFrames.Count < Size || times.Contains(0))
        {
            Assert.True(Stopwatch.GetElapsedTime(end) < TimeSpan.FromSeconds(20), $"{Size - freeFrames.Count} frames never came back, {times.Count(count => count == 0)} never arrived");
            Turn(sends: false);
        }

        Assert.All(times, count => Assert.True(count >= 1));
        Assert.InRange(doubled, 0, Kills * Size);
        device.StopRings();
        restarts.AssertMedian(Kills);

        void Turn(bool sends)
        {
            while (receive.TryGetUsed(out ushort slot, out uint written))
            {
                Assert.Equal((uint)(HeaderBytes + FrameBytes), written);
                ReadOnlySpan<byte> frame = room.Slice((uint)(slot * SlotBytes) + HeaderBytes, FrameBytes).AsSpan();
                int number = BitConverter.ToInt32(frame[16..]);
                Assert.InRange(number, 0, times.Count - 1);
                Assert.True(number <= expected, $"frame {number} overtook frame {expected}");
                doubled += times[number]++ > 0 ? 1 : 0;
                expected = Math.Max(expected, number + 1);
                freeRoom.Push(slot);
                completed++;
            }

            while (transmit.TryGetUsed(out ushort slot, out _))
            {
                freeFrames.Push(slot);
                completed++;
            }

            Assert.Equal((DriverFault.None, DriverFault.None), (receive.Fault, transmit.Fault));
            while (freeRoom.TryPop(out ushort slot))
            {
                Assert.True(receive.TryAdd([new DriverBuffer(At(room, slot), SlotBytes)], 0, slot));
            }

            while (sends && freeFrames.TryPop(out ushort slot))
            {
                Span<byte> frame = frames.Slice((uint)(slot * SlotBytes), SlotBytes).AsSpan();
                frame.Clear();
                frame[HeaderBytes..(HeaderBytes + 12)].Fill(0x02);
                BitConverter.TryWriteBytes(frame[(HeaderBytes + 16)..], times.Count);
                Assert.True(transmit.TryAdd([new DriverBuffer(At(frames, slot), HeaderBytes + FrameBytes)], 1, slot));
                times.Add(0);
            }

            if (receive.Publish())
            {
                device.Queues[0].Kick.Signal();
            }

            if (transmit.Publish())
            {
                device.Queues[1].Kick.Signal();
            }

            Thread.Sleep(0);
        }
    }

    private static GuestAddress At(GuestArea area, ushort slot) => new(area.Guest.Value + ((ulong)slot * SlotBytes));
}
