using System.Diagnostics;
using Paravane.VhostServer.Hosting;
using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Tests.Session;

public sealed class FaultTests
{
    public static TheoryData<ulong, int> Cases => new()
    {
        { Machine.Split, 1 },
        { Machine.Split, 2 },
        { Machine.Packed, 1 },
        { Machine.Packed, 2 },
    };

    [Theory, MemberData(nameof(Cases))]
    public void A_broken_ring_stops_the_whole_device_tells_the_front_end_and_heals_by_a_restart(ulong features, int workers)
    {
        using var device = new EchoDevice(queues: 2, workers);
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect(), features);
        using var channel = new UnixSocketPair();
        using var listener = new Frontend(channel.First);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetBackendReqFd, [], channel.Second));
        using TestRing bad = TestRing.Of(machine, 0).Start();
        using TestRing good = TestRing.Of(machine, 1).Start();
        bad.Echo(3);
        good.Echo(3);
        device.IsHolding = true;
        good.Offer();
        Wait.Until(() => device.Taken == 7, "the request is in flight");
        bad.OfferPoison();
        var clock = Stopwatch.StartNew();
        Wait.Until(bad.Error.Drain, "the error eventfd is signalled");
        TimeSpan took = clock.Elapsed;
        Wait.Until(good.Error.Drain, "the other ring's error eventfd is signalled");
        Assert.NotNull(listener.Receive()); // CONFIG_CHANGE_MSG
        Assert.Equal(64UL, machine.Frontend.Ask(FrontendRequest.GetStatus).Word);

        // What was accepted finishes; nothing more is taken, on any ring.
        device.IsHolding = false;
        good.Collect();
        good.Offer();
        Thread.Sleep(30);
        Assert.False(good.TryGet(out _, out _));

        uint position = bad.Stop();
        Assert.Equal(0UL, machine.Frontend.Ask(FrontendRequest.GetStatus).Word);
        good.Collect();
        good.Echo(3);
        Assert.InRange(took.TotalMilliseconds, 0, 2000); // 10 ms on an idle machine
        Assert.NotEqual(0u, position);
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_broken_device_heals_by_a_device_reset(ulong features, int workers)
    {
        using var server = new TestServer(new EchoDevice(queues: 2, workers));
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        using TestRing other = TestRing.Of(machine, 1).Start();
        ring.OfferPoison();
        Wait.Until(ring.Error.Drain, "the error eventfd is signalled");
        Assert.True(machine.Frontend.Try(FrontendRequest.ResetDevice));
        Assert.Equal(0UL, machine.Frontend.Ask(FrontendRequest.GetStatus).Word);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features));
        ring.Reopen();
        ring.Start();
        ring.Echo(5);
    }

    /// <summary>A transmit queue fills the receive queue of its pair: what is wrong with that is found when its own turn is over.</summary>
    [Fact]
    public void A_ring_that_breaks_in_the_turn_of_another_is_reported_before_the_worker_sleeps()
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device, options => options with { Poll = PollSetting.Off });
        using var machine = new Machine(server.Connect());
        using TestRing receive = TestRing.Of(machine, 0).Start();
        using TestRing transmit = TestRing.Of(machine, 1).Start();
        Virtqueue? first = null;
        device.OnTurn = queue =>
        {
            if (queue.Config.Index == 0)
            {
                first = queue;
            }
            else
            {
                first?.Break(ChainFault.HeadOutOfRange);
            }
        };
        transmit.Kick.Signal();
        AssertReported(machine, receive);
    }

    [Fact]
    public void A_ring_that_breaks_while_it_arms_is_reported_before_the_worker_sleeps()
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device, options => options with { Poll = PollSetting.Off });
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo();
        device.OnArm = static queue => queue.Break(ChainFault.DirtyLogTooSmall);
        ring.Kick.Signal();
        AssertReported(machine, ring);
    }

    [Fact]
    public void An_error_eventfd_that_comes_after_the_fault_is_signalled_too_and_reconnecting_heals()
    {
        using var server = new TestServer(new EchoDevice());
        using (var machine = new Machine(server.Connect()))
        {
            using TestRing ring = TestRing.Of(machine).Start();
            ring.OfferPoison();
            Wait.Until(ring.Error.Drain, "the error eventfd is signalled");
            using var late = new EventFd();
            Assert.True(machine.Frontend.Try(FrontendRequest.SetVringErr, new VringDescriptor(0, true), late));
            Assert.True(late.Drain());
        }

        server.WaitForEnd();
        using var next = new Machine(server.Connect());
        using TestRing healthy = TestRing.Of(next).Start();
        healthy.Echo(3);
        Assert.Equal(0UL, next.Frontend.Ask(FrontendRequest.GetStatus).Word);
    }

    private static void AssertReported(Machine machine, TestRing ring)
    {
        var clock = Stopwatch.StartNew();
        Wait.Until(ring.Error.Drain, "the error eventfd is signalled");
        Assert.InRange(clock.ElapsedMilliseconds, 0, 2000); // 10 ms on an idle machine
        Assert.Equal(64UL, machine.Frontend.Ask(FrontendRequest.GetStatus).Word);
    }
}
