using System.Diagnostics;
using Paravane.Hypervisor.Tests.Frontend;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>Back-ends that are slow to stop their rings, or do not: who waits for them, and for how long.</summary>
public sealed class DeviceStopTests
{
    private const ulong Accepted = VirtioFeatures.Version1;

    private static readonly TimeSpan s_patience = TimeSpan.FromMilliseconds(600);

    [Theory]
    [InlineData(FrontendRequest.GetVringBase, false)]
    [InlineData(FrontendRequest.GetVringBase, true)]
    [InlineData(FrontendRequest.SetVringEnable, true)]
    [InlineData(FrontendRequest.SetStatus, false)]
    public void H1_a_back_end_that_hangs_in_a_reset_holds_it_up_for_one_limit_in_all_and_another_one_serves_the_next_driver(FrontendRequest where, bool talks)
    {
        bool hangs = false;
        using var rig = new DeviceRig(connection => DeviceRig.Disk(script: message => connection == 0 && Volatile.Read(ref hangs) ? Hang(message) : null), patience: s_patience);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        hangs = true;
        TimeSpan taken = Measure(stopped => rig.Device.Stop(stopped));
        Assert.InRange(taken, s_patience / 2, s_patience * 5); // a ring alone has ten times as long in a pause
        Assert.Equal(1, rig.Device.Counters.Losses);
        rig.Device.Start(Accepted, [rig.Queue(0)]);
        rig.AwaitStart(1);
        Assert.Equal(0, rig.NeedsReset);
        Assert.Single(rig.Log);

        // One that talks answers each request, too late for all of them together.
        Answer? Hang(Received message)
        {
            if (talks && message.Request is FrontendRequest.GetVringBase or FrontendRequest.SetVringEnable)
            {
                Thread.Sleep(s_patience * 0.7);
                return null;
            }

            return message.Request == where ? new Answer { Silent = true } : null;
        }
    }

    [Fact]
    public void H1_a_back_end_that_hangs_when_one_ring_is_reset_is_given_up_and_the_other_ring_goes_on_elsewhere()
    {
        using var rig = new DeviceRig(
            connection => DeviceRig.Disk(script: message => connection == 0 && message.Request == FrontendRequest.GetVringBase ? new Answer { Silent = true } : null),
            patience: s_patience);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        Assert.InRange(Measure(stopped => rig.Device.StopQueue(1, stopped)), s_patience / 2, s_patience * 5);
        rig.AwaitStart(1);
        Assert.Equal([(byte)0], rig.Source[1].Received.Where(message => message.Request == FrontendRequest.SetVringKick).Select(message => message.Payload[0]));
        Assert.Equal(0, rig.NeedsReset);
    }

    [Fact]
    public async Task A_pause_waits_for_a_slow_disk_longer_than_any_reply_may_take()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(script: message =>
        {
            if (message.Request == FrontendRequest.GetVringBase)
            {
                Thread.Sleep(s_patience * 2);
            }

            return null;
        }), patience: s_patience);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        await rig.Device.PauseAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(0, rig.Device.Counters.Losses);
        await rig.Device.ResumeAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(0, rig.Device.Counters.Losses);
        Assert.Equal(1, rig.Source.Count);
    }

    private static TimeSpan Measure(Action<Action> stop)
    {
        using var stopped = new ManualResetEventSlim();
        long start = Stopwatch.GetTimestamp();
        stop(stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        return Stopwatch.GetElapsedTime(start);
    }
}
