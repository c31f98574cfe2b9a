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

    [Theory]
    [InlineData(FrontendRequest.GetVringBase)]
    [InlineData(FrontendRequest.SetVringEnable)] // paravane-blk waits here
    public async Task A_pause_waits_for_a_slow_disk_longer_than_any_reply_may_take(FrontendRequest where)
    {
        bool slow = false;
        using var rig = new DeviceRig(_ => DeviceRig.Disk(script: message =>
        {
            if (message.Request == where && Volatile.Read(ref slow))
            {
                Thread.Sleep(s_patience * 2);
            }

            return null;
        }), patience: s_patience);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        slow = true;
        await rig.Device.PauseAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(0, rig.Device.Counters.Losses);
        slow = false;
        await rig.Device.ResumeAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(0, rig.Device.Counters.Losses);
        Assert.Equal(1, rig.Source.Count);
    }

    [Fact]
    public void R15_a_reset_is_done_when_a_back_end_that_was_given_up_has_settled_its_work()
    {
        bool hasSettled = false;
        using var rig = new DeviceRig(_ => new ScriptedBackEnd(HangingDisk)
        {
            Features = DeviceRig.Features,
            ProtocolFeatures = DeviceRig.Usual,
            AtEnd = () =>
            {
                Thread.Sleep(s_patience);
                Volatile.Write(ref hasSettled, true);
            },
        }, patience: s_patience);
        rig.Source.SettleTime = Wait.Limit;
        rig.Start(Accepted, rig.Queue(0));
        bool before = false;
        Assert.InRange(Measure(stopped => rig.Device.Stop(() =>
        {
            before = Volatile.Read(ref hasSettled);
            stopped();
        })), s_patience * 1.5, Wait.Limit);
        Assert.True(before, "it was reported before");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void R15_one_that_never_settles_holds_a_reset_up_until_its_time_is_over_or_it_is_hung_up(bool isHungUp)
    {
        using var rig = new DeviceRig(_ => new ScriptedBackEnd(HangingDisk) { Features = DeviceRig.Features, ProtocolFeatures = DeviceRig.Usual }, patience: s_patience);
        rig.Source.SettleTime = isHungUp ? TimeSpan.FromHours(1) : s_patience;
        rig.Start(Accepted, rig.Queue(0));
        using var later = new Timer(_ => rig.Device.HangUp(), null, s_patience * 2, Timeout.InfiniteTimeSpan);
        Assert.InRange(Measure(stopped => rig.Device.Stop(stopped)), s_patience * 1.5, Wait.Limit);
    }

    [Fact]
    public void R15_a_reset_is_done_when_a_worker_that_was_killed_has_ended()
    {
        bool hasEnded = false;
        using var rig = new DeviceRig(connection => DeviceRig.Disk(script: message => connection == 0 ? HangingDisk(message) : null), patience: s_patience);
        rig.Source.Ended = () => Volatile.Read(ref hasEnded);
        rig.Start(Accepted, rig.Queue(0));
        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(stopped.Set);
        Assert.False(stopped.Wait(s_patience * 2, TestContext.Current.CancellationToken));
        Volatile.Write(ref hasEnded, true);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        rig.Device.Start(Accepted, [rig.Queue(0)]);
        rig.AwaitStart(1);
    }

    [Fact]
    public void The_end_of_the_device_waits_for_no_worker_that_does_not_end()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(script: HangingDisk), patience: s_patience);
        rig.Source.Ended = static () => false;
        rig.Start(Accepted, rig.Queue(0));
        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(stopped.Set);
        Thread.Sleep(s_patience * 1.5);
        long start = Stopwatch.GetTimestamp();
        rig.Device.Dispose();
        Assert.True(Stopwatch.GetElapsedTime(start) < s_patience * 2);
        Assert.True(stopped.IsSet);
    }

    [Fact]
    public void One_that_is_hung_up_in_the_middle_of_a_start_is_replaced()
    {
        using var rig = new DeviceRig(connection => DeviceRig.Disk(script: message => connection == 0 && message.Request == FrontendRequest.SetVringAddr ? new Answer { Silent = true } : null));
        rig.Device.Start(Accepted, [rig.Queue(0)]);
        _ = rig.Await(0, FrontendRequest.SetVringAddr);
        rig.Device.HangUp();
        rig.AwaitStart(1);
        Assert.Equal(0, rig.NeedsReset);
    }

    private static Answer? HangingDisk(Received message) => message.Request switch
    {
        FrontendRequest.GetVringBase => new Answer { Silent = true },
        FrontendRequest.GetConfig => DeviceRig.ConfigAnswer(message, DeviceRig.BlockConfig(64)),
        _ => null,
    };

    private static TimeSpan Measure(Action<Action> stop)
    {
        using var stopped = new ManualResetEventSlim();
        long start = Stopwatch.GetTimestamp();
        stop(stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        return Stopwatch.GetElapsedTime(start);
    }
}
