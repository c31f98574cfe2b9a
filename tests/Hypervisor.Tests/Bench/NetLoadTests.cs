using System.Diagnostics;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.Hypervisor.Tests.Bench;

public sealed class NetLoadTests
{
    [Theory]
    [InlineData(RingFormat.Split, 64, false)]
    [InlineData(RingFormat.Split, 1518, true)]
    [InlineData(RingFormat.Split, 9000, true)]
    [InlineData(RingFormat.Packed, 64, true)]
    [InlineData(RingFormat.Packed, 1518, false)]
    [InlineData(RingFormat.Packed, 9000, false)]
    [InlineData(RingFormat.Packed, 9000, true)]
    public void A_right_loop_is_found_right(RingFormat format, int frameBytes, bool mergeable)
    {
        LoadCounters counters = Run(format, LoopFault.None, frameBytes, mergeable, verify: true);
        Assert.Null(counters.FirstError);
        Assert.Equal((0L, 0L), (counters.Errors, counters.Lost));
        Assert.True(counters.Done > 1000);
        Assert.Equal(counters.Sent, counters.Done);
        Assert.Equal(counters.Done, counters.Verified);
        Assert.Equal(counters.Done * frameBytes, counters.Bytes);
        Assert.True(counters.Latency.Count > 0);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Without_verification_everything_is_counted(bool mergeable)
    {
        LoadCounters counters = Run(RingFormat.Split, LoopFault.None, 64, mergeable, verify: false);
        Assert.Equal((0L, 0L, 0L), (counters.Errors, counters.Lost, counters.Verified));
        Assert.Equal(counters.Sent, counters.Done);
        Assert.Equal(counters.Done * 64, counters.Bytes);
    }

    [Theory]
    [InlineData(LoopFault.FlipsABit, "a wrong checksum")]
    [InlineData(LoopFault.Doubles, "arrived twice")]
    [InlineData(LoopFault.Swaps, "arrived after a later one")]
    [InlineData(LoopFault.Cuts, "a frame of 199 bytes came back, 200 were sent")]
    [InlineData(LoopFault.SetsAFlag, "with flags 0x1")]
    public void Each_fault_of_a_loop_is_found(LoopFault fault, string expected)
    {
        foreach (RingFormat format in Enum.GetValues<RingFormat>())
        {
            LoadCounters counters = Run(format, fault, 200, mergeable: true, verify: true);
            Assert.NotEqual(0, counters.Errors);
            Assert.Contains(expected, counters.FirstError, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Lost_frames_are_counted_one_by_one(bool verify)
    {
        LoadCounters counters = Run(RingFormat.Split, LoopFault.Loses, 64, mergeable: true, verify);
        Assert.Equal(0, counters.Errors);
        Assert.Equal(counters.Sent / 100, counters.Lost);
        Assert.Equal(counters.Sent, counters.Done + counters.Lost);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_is_sent_before_the_link_is_up_is_not_lost(bool verify)
    {
        using var rig = new Rig(RingFormat.Packed, LoopFault.PlugsInLate, 64, mergeable: true, verify);
        Assert.True(IsReadyWithin(rig, TimeSpan.FromSeconds(10)));
        Assert.Equal(4 + Rig.Burst, rig.Load.Counters.Sent); // one at a time: three vanished, the fourth came back, and the first burst followed
        LoadRig.Run(rig.Load, rig.Serve);
        Assert.Equal((0L, 0L), (rig.Load.Counters.Errors, rig.Load.Counters.Lost));
        Assert.Equal(rig.Load.Counters.Sent, rig.Load.Counters.Done + 3);
    }

    [Fact]
    public void A_link_that_never_comes_up_loses_everything()
    {
        using var rig = new Rig(RingFormat.Split, LoopFault.IsNotPluggedIn, 64, mergeable: true, verify: true);
        Assert.False(IsReadyWithin(rig, TimeSpan.FromMilliseconds(200)));
        LoadRig.Run(rig.Load, rig.Serve);
        Assert.InRange(rig.Load.Counters.Sent, 2, 100);
        Assert.Equal(rig.Load.Counters.Sent, rig.Load.Counters.Lost);
    }

    [Fact]
    public void More_frames_than_were_sent_are_an_error_also_without_verification()
    {
        LoadCounters counters = Run(RingFormat.Packed, LoopFault.Doubles, 64, mergeable: false, verify: false);
        Assert.NotEqual(0, counters.Errors);
        Assert.Contains("more frames came back than were sent", counters.FirstError, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_turn_allocates_nothing(bool verify)
    {
        using var rig = new Rig(RingFormat.Split, LoopFault.None, 200, mergeable: true, verify);
        while (rig.Load.Counters.Done < 2000)
        {
            _ = rig.Load.RunTurn();
            _ = rig.Serve();
        }

        // A path that is taken for the first time, as after a pause of the whole machine, may initialise something; a turn that allocates does so again.
        long allocated = 1;
        for (int pass = 0; pass < 2 && allocated != 0; pass++)
        {
            allocated = LoadRig.AllocatedByTurns(rig.Load, rig.Serve);
        }

        Assert.Equal(0, allocated);
        rig.Load.Abandon();
    }

    private static bool IsReadyWithin(Rig rig, TimeSpan time)
    {
        long start = Stopwatch.GetTimestamp();
        while (!rig.Load.IsReady && Stopwatch.GetElapsedTime(start) < time)
        {
            _ = rig.Serve();
            _ = rig.Load.RunTurn();
        }

        return rig.Load.IsReady;
    }

    private static LoadCounters Run(RingFormat format, LoopFault fault, int frameBytes, bool mergeable, bool verify)
    {
        using var rig = new Rig(format, fault, frameBytes, mergeable, verify);
        LoadRig.Run(rig.Load, rig.Serve);
        return rig.Load.Counters;
    }

    private sealed class Rig : IDisposable
    {
        public const int Burst = 16;

        private const int QueueSize = 64;

        private readonly GuestRam _ram = GuestRam.Create(4 << 20);
        private readonly FrontendQueue _receive;
        private readonly FrontendQueue _transmit;
        private readonly IDisposable _loop;

        public Rig(RingFormat format, LoopFault fault, int frameBytes, bool mergeable, bool verify)
        {
            ulong features = VirtioFeatures.Version1 | VirtioFeatures.EventIdx | (format == RingFormat.Packed ? VirtioFeatures.RingPacked : 0);
            _receive = new FrontendQueue(_ram, 0, QueueSize, features);
            _transmit = new FrontendQueue(_ram, 1, QueueSize, features);
            var options = new NetLoadOptions
            {
                Pair = 0,
                Mode = NetMode.Loop,
                FrameBytes = frameBytes,
                Burst = Burst,
                Mergeable = mergeable,
                Verify = verify,
                ReceiveKick = _receive.Kick,
                ReceiveCall = _receive.Call,
                TransmitKick = _transmit.Kick,
                TransmitCall = _transmit.Call,
            };
            if (format == RingFormat.Packed)
            {
                Load = new NetLoad<PackedDriver>(options, _receive.Ring, _transmit.Ring, _ram);
                var loop = new TinyLoop<PackedRing>(_receive, _transmit, _ram, fault);
                (_loop, Serve) = (loop, loop.Serve);
            }
            else
            {
                Load = new NetLoad<SplitDriver>(options, _receive.Ring, _transmit.Ring, _ram);
                var loop = new TinyLoop<SplitRing>(_receive, _transmit, _ram, fault);
                (_loop, Serve) = (loop, loop.Serve);
            }
        }

        public ILoad Load { get; }

        public Func<bool> Serve { get; }

        public void Dispose()
        {
            _loop.Dispose();
            _receive.Dispose();
            _transmit.Dispose();
            _ram.Dispose();
        }
    }
}
