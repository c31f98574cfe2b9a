using Paravane.VhostServer.Tests.Support;
using Paravane.VhostServer.Workers;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Tests.Workers;

public sealed class ArmingTests
{
    private const ulong Plain = VirtioFeatures.Version1;

    [Theory]
    [InlineData(Plain)]
    [InlineData(Plain | VirtioFeatures.EventIdx)]
    [InlineData(Plain | VirtioFeatures.RingPacked)]
    [InlineData(Plain | VirtioFeatures.RingPacked | VirtioFeatures.EventIdx)]
    public void R12_a_worker_that_found_work_while_arming_is_not_kicked_while_it_does_it(ulong features)
    {
        if ((features & VirtioFeatures.RingPacked) != 0)
        {
            FindWorkWhileArming<PackedDriver>(features);
        }
        else
        {
            FindWorkWhileArming<SplitDriver>(features);
        }
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public void Whatever_a_queue_armed_with_chains_in_flight_is_taken_back(bool enabled, bool paused)
    {
        using var rig = new Rig<SplitDriver>(Plain);
        rig.Device.IsHolding = true;
        Assert.False(rig.Offer());
        Assert.True(rig.Queue.Run());
        Assert.Equal(1, rig.Queue.Queue.InFlight);
        rig.Queue.Queue.Enabled = enabled;
        rig.Queue.Queue.FetchPaused = paused;
        rig.Loop.FailsToArm = true; // a request is done
        Assert.False(rig.Queue.TryArm());
        Assert.True(rig.Loop.IsArmed);
        rig.Queue.Disarm();
        Assert.False(rig.Loop.IsArmed);
    }

    private static void FindWorkWhileArming<TDriver>(ulong features)
        where TDriver : struct, IDriverRing<TDriver>
    {
        using var rig = new Rig<TDriver>(features);
        rig.Offer(); // with an event index the first kick is asked for by a ring that nobody has armed
        Assert.True(rig.Queue.Run());
        for (int i = 0; i < 20; i++)
        {
            Assert.False(rig.Offer());
            Assert.False(rig.Queue.TryArm());
            rig.Queue.Disarm();
            Assert.False(rig.Offer());
            Assert.True(rig.Queue.Run());
        }

        Assert.True(rig.Queue.TryArm());
        Assert.True(rig.Offer());
    }

    /// <summary>A ring with its driver, and what a worker keeps of it, on one thread.</summary>
    private sealed class Rig<TDriver> : IDisposable
        where TDriver : struct, IDriverRing<TDriver>
    {
        private readonly GuestMemory _memory;
        private readonly DriverBuffer _buffer;
        private TDriver _driver;

        public Rig(ulong features)
        {
            using MemFd ram = MemFd.Create("arm-test", Machine.SizeBytes);
            var start = new GuestAddress(Machine.GuestBase);
            _memory = GuestMemory.Of([GuestRegion.Map(start, new UserAddress(Machine.UserBase), Machine.SizeBytes, ram, 0)]);
            DriverRingConfig layout = DriverRingConfig.Lay(_memory, start, 64, features);
            _buffer = new DriverBuffer(new GuestAddress(Machine.GuestBase + (1 << 20)), 64);
            _driver = TDriver.Open(layout);
            Loop = new ArmingLoop(Device.StartQueue(layout.ToQueueConfig(), _memory));
            Queue = new WorkerQueue(0, Loop);
            Queue.Queue.Enabled = true;
            Queue.Disarm();
        }

        public EchoDevice Device { get; } = new();

        public ArmingLoop Loop { get; }

        public WorkerQueue Queue { get; }

        /// <returns>True when the device wants a kick.</returns>
        public bool Offer()
        {
            while (_driver.TryGetUsed(out _, out _))
            {
            }

            Assert.True(_driver.TryAdd([_buffer], 1, 0));
            return _driver.Publish();
        }

        public void Dispose()
        {
            Loop.Dispose();
            Device.Dispose();
            _memory.Release();
        }
    }

    private sealed class ArmingLoop(IQueueLoop inner) : IQueueLoop
    {
        public bool FailsToArm { get; set; }

        public bool IsArmed { get; private set; }

        public Virtqueue Queue => inner.Queue;

        public bool RunBatch() => inner.RunBatch();

        public bool TryArm()
        {
            IsArmed = true;
            return inner.TryArm() && !FailsToArm;
        }

        public void Disarm()
        {
            IsArmed = false;
            inner.Disarm();
        }

        public void Dispose() => inner.Dispose();
    }
}
