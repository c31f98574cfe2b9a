using Paravane.VhostServer.Hosting;
using Paravane.VhostServer.Tests.Support;
using Paravane.VhostServer.Workers;

namespace Paravane.VhostServer.Tests.Workers;

public sealed class PollingTests
{
    public static TheoryData<int, ulong> Cases
    {
        get
        {
            var cases = new TheoryData<int, ulong>();
            foreach (int cap in (int[])[0, 200, int.MaxValue])
            {
                cases.Add(cap, Machine.Split);
                cases.Add(cap, Machine.Packed);
                cases.Add(cap, Machine.Split & ~VirtioQueues.Spec.VirtioFeatures.EventIdx);
                cases.Add(cap, Machine.Packed & ~VirtioQueues.Spec.VirtioFeatures.EventIdx);
            }

            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void Requests_are_served_in_every_polling_mode_with_pauses_of_any_length(int cap, ulong features)
    {
        using var server = new TestServer(new EchoDevice(), options => options with { Poll = new PollSetting(cap) });
        using var machine = new Machine(server.Connect(), features);
        using TestRing first = TestRing.Of(machine, 0).Start();
        using TestRing second = TestRing.Of(machine, 1).Start();
        var random = new Random(7);
        for (int i = 0; i < 200; i++)
        {
            TestRing ring = i % 3 == 0 ? second : first;
            ring.Offer();
            if (i % 20 == 0)
            {
                Thread.Sleep(random.Next(3)); // the worker is asleep, arming, or polling
            }

            ring.Offer();
            ring.Collect();
            ring.Collect();
        }

        first.Stop();
        second.Stop();
    }

    [Fact]
    public void R12_a_kick_that_is_lost_is_made_up_for_by_the_next_one()
    {
        using var server = new TestServer(new EchoDevice(), options => options with { Poll = PollSetting.Off });
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(5);
        Thread.Sleep(20);
        ring.Offer(kick: false);
        ring.Offer(kick: false);
        ring.Kick.Signal();
        ring.Collect();
        ring.Collect();
    }

    [Fact]
    public void An_idle_worker_sleeps()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(50);
        Thread.Sleep(20);
        TimeSpan before = WorkerThreads.CpuTime();
        Thread.Sleep(400);
        Assert.InRange((WorkerThreads.CpuTime() - before).TotalMilliseconds, 0, 40);
    }

    [Fact]
    public void R14_a_storm_of_kicks_on_one_ring_leaves_the_other_its_share()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing quiet = TestRing.Of(machine, 0).Start();
        using TestRing stormy = TestRing.Of(machine, 1).Start();
        using var stop = new CancellationTokenSource();
        var storm = new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                stormy.Kick.Signal();
            }
        });
        storm.Start();
        quiet.Echo(50);
        stop.Cancel();
        storm.Join();
    }

    [Fact]
    public void The_budget_grows_while_work_comes_soon_and_shrinks_to_nothing_while_it_does_not()
    {
        var budget = new PollBudget(new PollSetting(200));
        Assert.True(budget.GoOn()); // starts with 20 µs
        budget.SleptSince(0);
        budget.SleptSince(0);
        budget.SleptSince(0);
        Assert.False(budget.GoOn());
        budget.Reset();
        budget.SleptSince(System.Diagnostics.Stopwatch.GetTimestamp());
        Assert.True(budget.GoOn());
        var off = new PollBudget(PollSetting.Off);
        Assert.False(off.GoOn());
        off.SleptSince(System.Diagnostics.Stopwatch.GetTimestamp());
        Assert.False(off.GoOn());
        var always = new PollBudget(PollSetting.Always);
        Assert.True(always.GoOn());
    }

    [Theory]
    [InlineData(Machine.Split)]
    [InlineData(Machine.Packed)]
    public void A_worker_allocates_nothing_however_often_it_sleeps_and_wakes(ulong features)
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device, options => options with { Poll = new PollSetting(20) });
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(300);
        long before = device.AllocatedBytes;
        ring.Echo(3000);
        Assert.Equal(before, device.AllocatedBytes);
    }

    [Theory]
    [InlineData(Machine.Split)]
    [InlineData(Machine.Packed)]
    public void Rings_of_several_workers_run_side_by_side(ulong features)
    {
        using var server = new TestServer(new EchoDevice(queues: 4, workers: 4));
        using var machine = new Machine(server.Connect(), features);
        TestRing[] rings = [.. Enumerable.Range(0, 4).Select(i => TestRing.Of(machine, i).Start())];
        for (int i = 0; i < 50; i++)
        {
            foreach (TestRing ring in rings)
            {
                ring.Offer();
            }

            foreach (TestRing ring in rings)
            {
                ring.Collect();
            }
        }

        foreach (TestRing ring in rings)
        {
            ring.Stop();
            ring.Dispose();
        }
    }
}
