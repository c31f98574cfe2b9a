using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Rings;

/// <summary>Kicks and calls: asked for, withheld, never lost (virtio 1.2 §2.7.7, §2.7.10, §2.8.21). One body for both formats.</summary>
public abstract class NotificationTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const ulong Flags = VirtioFeatures.Version1, Index = VirtioFeatures.Version1 | VirtioFeatures.EventIdx;

    private static QueueState Start(int position, int size) => RingRig<TRing, TDriver>.Packed
        ? QueueState.Packed((ushort)(position % size), position / size % 2 == 0, (ushort)(position % size), position / size % 2 == 0)
        : QueueState.Split((ushort)position);

    [Theory]
    [InlineData(Flags)]
    [InlineData(Index)]
    public void R12_a_device_that_armed_is_kicked_at_the_next_chain_and_one_that_polls_is_not(ulong features)
    {
        foreach (int start in new[] { 0, 1, 7, 8, 15, 0xfffe, 0xffff })
        {
            int position = RingRig<TRing, TDriver>.Packed ? start % 16 : start;
            using var rig = new RingRig<TRing, TDriver>(8, features, Start(position, 8));
            for (int round = 0; round < 50; round++)
            {
                Assert.True(rig.Queue.TryArm());
                rig.Send(0);
                Assert.True(rig.Driver.Publish());
                Assert.False(rig.Queue.TryArm()); // it is there already
                Assert.Equal(1, rig.Serve());
                rig.Queue.Disarm();
                for (int i = 0; i < 3; i++)
                {
                    rig.Send(1);
                    Assert.False(rig.Driver.Publish());
                    Assert.Equal(1, rig.Serve());
                }

                Assert.False(rig.Driver.Publish()); // nothing new
                while (rig.Driver.TryGetUsed(out _, out _))
                {
                }
            }
        }
    }

    [Theory]
    [InlineData(Flags)]
    [InlineData(Index)]
    public void R12_a_device_that_never_armed_is_not_kicked_for_ever_while_it_polls(ulong features)
    {
        using var rig = new RingRig<TRing, TDriver>(8, features);
        rig.Queue.Disarm();
        int kicks = 0;
        for (int i = 0; i < 1000; i++)
        {
            rig.Send(0);
            kicks += rig.Driver.Publish() ? 1 : 0;
            rig.Serve();
            Assert.True(rig.Driver.TryGetUsed(out _, out _));
        }

        Assert.InRange(kicks, 0, 1);
    }

    [Theory]
    [InlineData(Flags)]
    [InlineData(Index)]
    public void R12_a_driver_that_armed_is_called_once_for_a_burst_and_one_that_polls_is_not(ulong features)
    {
        foreach (int start in new[] { 0, 7, 8, 15, 0xfffd, 0xffff })
        {
            int position = RingRig<TRing, TDriver>.Packed ? start % 16 : start;
            using var rig = new RingRig<TRing, TDriver>(8, features, Start(position, 8));
            using var call = new EventFd();
            rig.Queue.SetCall(call.Duplicate());
            rig.Send(0);
            rig.Driver.Publish();
            rig.Serve(); // the call that follows any start
            Assert.True(rig.Driver.TryGetUsed(out _, out _));
            for (int round = 0; round < 50; round++)
            {
                Assert.True(rig.Driver.TryArmCall());
                long before = rig.Queue.Calls;
                for (int i = 0; i < 5; i++)
                {
                    rig.Send(1);
                }

                rig.Driver.Publish();
                Assert.Equal(5, rig.Serve());
                Assert.Equal(before + 1, rig.Queue.Calls);
                Assert.False(rig.Driver.TryArmCall()); // they are there already
                rig.Driver.DisarmCall();
                for (int i = 0; i < 2; i++)
                {
                    rig.Send(2);
                    rig.Driver.Publish();
                    rig.Serve();
                }

                Assert.Equal(before + 1, rig.Queue.Calls);
                while (rig.Driver.TryGetUsed(out _, out _))
                {
                }
            }
        }
    }

    [Fact]
    public void R12_a_call_comes_with_the_completion_that_was_asked_for_and_not_before()
    {
        using var rig = new RingRig<TRing, TDriver>(16, Index);
        using var call = new EventFd();
        rig.Queue.SetCall(call.Duplicate());
        for (int round = 0; round < 100; round++)
        {
            for (int i = 0; i < 6; i++)
            {
                rig.Send((ushort)i);
            }

            rig.Driver.Publish();
            rig.Serve(2);
            rig.Serve(1);
            Assert.True(rig.Driver.TryGetUsed(out _, out _));
            Assert.False(rig.Driver.TryArmCall());
            Assert.True(rig.Driver.TryGetUsed(out _, out _) && rig.Driver.TryGetUsed(out _, out _));
            long before = rig.Queue.Calls;
            Assert.True(rig.Driver.TryArmCall()); // three are left: the next one
            rig.Serve(1);
            Assert.Equal(before + 1, rig.Queue.Calls);
            rig.Serve(2);
            Assert.Equal(before + 1, rig.Queue.Calls);
            Assert.True(rig.Driver.TryGetUsed(out _, out _) && rig.Driver.TryGetUsed(out _, out _) && rig.Driver.TryGetUsed(out _, out _));
        }
    }

    [Theory]
    [InlineData(Flags)]
    [InlineData(Index)]
    public void R12_no_order_of_arming_publishing_and_sleeping_loses_a_wake_up(ulong features)
    {
        // Every order of the first 14 steps of both sides, then fair turns to the end. Size 2, four requests.
        const int Choices = 14;
        using var memory = new TestMemory(1 << 16);
        for (int schedule = 0; schedule < 1 << Choices; schedule++)
        {
            using var model = new Model(memory, features);
            for (int step = 0; step < 400 && !model.Done; step++)
            {
                bool device = step < Choices ? (schedule & (1 << step)) != 0 : step % 2 == 0;
                if (!(device ? model.StepDevice() : model.StepDriver()) && !(device ? model.StepDriver() : model.StepDevice()))
                {
                    Assert.Fail($"both sides sleep with {model.Left} requests left, schedule 0x{schedule:x}");
                }
            }

            Assert.True(model.Done, $"no progress, schedule 0x{schedule:x}");
        }
    }

    /// <summary>Both sides as small machines: one shared-memory verb a step.</summary>
    private sealed class Model : IDisposable
    {
        private const int Requests = 4;
        private readonly Virtqueue<TRing> _queue;
        private readonly EventFd _call = new();
        private readonly DriverBuffer _buffer;
        private TDriver _driver;
        private ChainToken? _token;
        private int _driverState;
        private int _deviceState;
        private int _sent;
        private int _received;
        private bool _kicked = true; // a queue is looked at when it starts

        public Model(TestMemory memory, ulong features)
        {
            features |= RingRig<TRing, TDriver>.Packed ? VirtioFeatures.RingPacked : 0;
            DriverRingConfig layout = DriverRingConfig.Lay(memory.Table, new(TestMemory.Base), 2, features);
            _buffer = new DriverBuffer(new(TestMemory.Base + 0x8000), 16);
            _driver = TDriver.Open(layout);
            _queue = new Virtqueue<TRing>(layout.ToQueueConfig(), memory.Table);
            _queue.SetCall(_call.Duplicate());
            _call.Drain();
        }

        public bool Done => _received == Requests;

        public int Left => Requests - _received;

        /// <returns>False when the driver sleeps and nothing woke it.</returns>
        public bool StepDriver()
        {
            switch (_driverState)
            {
                case 0: // add
                    _sent += _sent < Requests && _driver.TryAdd([_buffer], 1, 0) ? 1 : 0;
                    _driverState = 1;
                    return true;
                case 1: // publish, kick
                    _kicked |= _driver.Publish();
                    _driverState = 2;
                    return true;
                case 2: // collect one
                    bool any = _driver.TryGetUsed(out _, out _);
                    _received += any ? 1 : 0;
                    _driverState = any || (_sent < Requests && _driver.FreeDescriptors > 0) ? 0 : 3;
                    return true;
                case 3: // arm
                    _driverState = _driver.TryArmCall() ? 4 : 5;
                    return true;
                case 4: // asleep
                    _driverState = _call.Drain() ? 5 : 4;
                    return _driverState == 5;
                default: // awake
                    _driver.DisarmCall();
                    _driverState = 2;
                    return true;
            }
        }

        /// <returns>False when the device sleeps and nothing woke it.</returns>
        public bool StepDevice()
        {
            switch (_deviceState)
            {
                case 0: // take one
                    if (_queue.Fill(1) == 1)
                    {
                        _token = _queue.Peek(0).Token;
                        _queue.Consume(1);
                        _deviceState = 1;
                        return true;
                    }

                    _deviceState = 2;
                    return true;
                case 1: // complete and publish
                    _queue.Complete(_token!.Value, 0);
                    _queue.Publish();
                    _deviceState = 0;
                    return true;
                case 2: // arm
                    _deviceState = _queue.TryArm() ? 3 : 4;
                    return true;
                case 3: // asleep
                    _deviceState = _kicked ? 4 : 3;
                    _kicked = false;
                    return _deviceState == 4;
                default: // awake
                    _queue.Disarm();
                    _deviceState = 0;
                    return true;
            }
        }

        public void Dispose()
        {
            Assert.Equal((ChainFault.None, DriverFault.None), (_queue.Fault, _driver.Fault));
            _queue.Dispose();
            _call.Dispose();
        }
    }
}

public sealed class SplitNotificationTests : NotificationTests<SplitRing, SplitDriver>
{
    [Fact]
    public void R12_with_an_event_index_the_flags_that_it_replaces_are_ignored()
    {
        using var rig = new RingRig<SplitRing, SplitDriver>(8);
        using var call = new EventFd();
        rig.Queue.SetCall(call.Duplicate());
        rig.Send(0);
        rig.Driver.Publish();
        rig.Serve();
        Assert.True(rig.Driver.TryGetUsed(out _, out _));
        unsafe
        {
            ((ushort*)rig.Memory[rig.Config.DriverArea])[0] = 1; // NO_INTERRUPT
            ((ushort*)rig.Memory[rig.Config.DeviceArea])[0] = 1; // NO_NOTIFY
        }

        Assert.True(rig.Driver.TryArmCall());
        Assert.True(rig.Queue.TryArm());
        rig.Send(0);
        Assert.True(rig.Driver.Publish());
        rig.Serve();
        Assert.Equal(2, rig.Queue.Calls);
    }
}

public sealed class PackedNotificationTests : NotificationTests<PackedRing, PackedDriver>
{
    [Theory]
    [InlineData(0, true)]
    [InlineData(1, false)]
    [InlineData(2, true)] // a place, without EVENT_IDX: cannot be meant, so rather one call too many
    [InlineData(3, true)]
    public void R12_every_value_of_the_event_flags_has_its_answer(uint flags, bool calls)
    {
        using var rig = new RingRig<PackedRing, PackedDriver>(8, VirtioFeatures.Version1);
        using var call = new EventFd();
        rig.Queue.SetCall(call.Duplicate());
        for (int i = 0; i < 2; i++)
        {
            rig.Send(0);
            rig.Driver.Publish();
            unsafe
            {
                *(uint*)rig.Memory[rig.Config.DriverArea] = (flags << 16) | 0x7fff;
            }

            rig.Serve();
        }

        Assert.Equal(calls ? 2 : 1, rig.Queue.Calls);
    }
}
