using System.Collections.Concurrent;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Tests.Virtio;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>Devices behind real workers, from their start to their end.</summary>
public sealed class WorkerTests
{
    private const ulong Base = VirtioFeatures.Version1 | VirtioFeatures.EventIdx;

    [Fact]
    public void A_setting_in_the_environment_does_not_reach_workers()
    {
        const string Setting = "PARAVANE_BLK_NULL"; // a second store beside the one of the arguments is an error
        Environment.SetEnvironmentVariable(Setting, "1G");
        try
        {
            using WorkerRig rig = WorkerRig.Disk("--blk-ram=16M");
            Span<byte> capacity = stackalloc byte[sizeof(ulong)];
            rig.Device.ReadConfig(0, capacity);
            Assert.Equal((16UL << 20) / 512, BitConverter.ToUInt64(capacity));
        }
        finally
        {
            Environment.SetEnvironmentVariable(Setting, null);
        }
    }

    [Fact]
    public void A_ring_is_reset_and_set_up_anew_while_the_other_one_works()
    {
        using WorkerRig rig = WorkerRig.Disk("--blk-ram=16M", "--num-queues=2");
        Assert.NotEqual(0UL, rig.Device.Features & VirtioFeatures.RingReset);
        const ulong Features = Base | VirtioFeatures.RingReset | (1UL << 12);
        using var first = new DiskDriver<SplitDriver>(rig, 0, Features);
        using var second = new DiskDriver<SplitDriver>(rig, 1, Features);
        rig.Device.Start(Features, [first.Setup, second.Setup]);
        second.Data(0).Fill(0x5a);
        second.Submit(0, write: true, block: 7);
        _ = second.Collect();
        for (int i = 0; i < 3; i++)
        {
            using var stopped = new ManualResetEventSlim();
            rig.Device.StopQueue(1, stopped.Set);
            Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
            first.Submit(0, write: false, block: 7);
            _ = first.Collect();
            Assert.False(first.Data(0).ContainsAnyExcept((byte)0x5a));
            using var again = new DiskDriver<SplitDriver>(rig, 1, Features);
            rig.Device.StartQueue(again.Setup);
            again.Submit(0, write: false, block: 7);
            _ = again.Collect();
            Assert.False(again.Data(0).ContainsAnyExcept((byte)0x5a));
        }

        Assert.Equal(0, rig.NeedsReset);
    }

    [Fact]
    public void A_guest_that_reboots_keeps_its_worker()
    {
        using WorkerRig rig = WorkerRig.Disk("--blk-ram=16M");
        int? pid = rig.Device.WorkerProcessId;
        for (int i = 0; i < 3; i++)
        {
            using var driver = new DiskDriver<SplitDriver>(rig, 0, Base);
            rig.Device.Start(Base, [driver.Setup]);
            driver.Submit(0, write: false, block: (ulong)i);
            _ = driver.Collect();
            using var stopped = new ManualResetEventSlim();
            rig.Device.Stop(stopped.Set);
            Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        }

        Assert.Equal(pid, rig.Device.WorkerProcessId);
        Assert.Equal(0, rig.Device.Counters.Losses);
        Assert.Equal(3, rig.Device.Counters.Starts);
    }

    [Fact]
    public void H1_a_worker_that_hangs_is_replaced_at_a_reset_and_the_next_driver_is_served()
    {
        const int Stopped = 19; // SIGSTOP
        using WorkerRig rig = WorkerRig.Disk("--blk-ram=16M");
        int hung = rig.Device.WorkerProcessId!.Value;
        using (var driver = new DiskDriver<SplitDriver>(rig, 0, Base))
        {
            rig.Device.Start(Base, [driver.Setup]);
            driver.Submit(0, write: false, block: 0);
            _ = driver.Collect();
            Assert.Equal(0, LibC.kill(hung, Stopped));
            Wait.Until(() => Directory.GetDirectories($"/proc/{hung}/task").All(thread => File.ReadAllText($"{thread}/stat").Contains(") T ", StringComparison.Ordinal)));
            driver.Submit(0, write: false, block: 0);
            using var stopped = new ManualResetEventSlim();
            rig.Device.Stop(stopped.Set);
            Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        }

        Assert.False(Directory.Exists($"/proc/{hung}"));
        using var next = new DiskDriver<SplitDriver>(rig, 0, Base);
        rig.Device.Start(Base, [next.Setup]);
        next.Submit(0, write: false, block: 1);
        _ = next.Collect();
        Assert.Equal(0, rig.NeedsReset);
    }

    [Fact]
    public void A_worker_that_cannot_start_says_why_in_the_error()
    {
        FrontendException error = Assert.Throws<FrontendException>(() => WorkerRig.Disk("--blk-file=/nonexistent/disk.img"));
        Assert.StartsWith("dev0: paravane-blk ended with exit code 1: ", error.Message, StringComparison.Ordinal);
        Assert.Contains("/nonexistent/disk.img", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_disk_attached_as_a_NIC_is_refused_and_leaves_no_process()
    {
        FrontendException error = Assert.Throws<FrontendException>(() => new WorkerRig(VhostUserOptions.NetDevice, BackEndPrograms.Block, "--blk-ram=1M"));
        Assert.StartsWith("dev0: paravane-blk: it is a block device, not a network device", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_end_of_the_device_is_the_end_of_its_worker()
    {
        int pid;
        using (WorkerRig rig = WorkerRig.Net("--net=loop"))
        {
            pid = rig.Device.WorkerProcessId!.Value;
            Assert.True(Directory.Exists($"/proc/{pid}"));
        }

        Assert.False(Directory.Exists($"/proc/{pid}"));
    }

    [Fact]
    public void A_worker_ends_by_itself_when_its_socket_does_whatever_other_workers_were_started()
    {
        using var first = new WorkerProcess(BackEndPrograms.Block, ["--blk-ram=1M"]);
        using var second = new WorkerProcess(BackEndPrograms.Net, ["--net=loop"]);
        using FileDescriptor socket = first.Connect();
        using FileDescriptor other = second.Connect();
        int pid = first.ProcessId!.Value;
        socket.Dispose(); // as the kernel does it for a process that was killed
        Wait.Until(() => File.ReadAllText($"/proc/{pid}/stat").Contains(") Z ", StringComparison.Ordinal));
        Assert.DoesNotContain(") Z ", File.ReadAllText($"/proc/{second.ProcessId}/stat"), StringComparison.Ordinal);
        Assert.Null(first.End()); // in order, so that there is nothing to explain
    }

    [Fact]
    public void A_worker_that_is_killed_before_the_driver_comes_is_replaced_before_it_is_needed()
    {
        using WorkerRig rig = WorkerRig.Net("--net=loop");
        int old = rig.Kill();
        Wait.Until(() => rig.Device.WorkerProcessId is { } pid && pid != old);
        Assert.Contains("paravane-net was ended by signal 9", rig.Device.Counters.LastError, StringComparison.Ordinal);
        Assert.Equal(1, rig.Device.Counters.Losses);
    }

    [Fact]
    public void What_a_worker_has_to_say_is_passed_on()
    {
        var said = new ConcurrentQueue<string>();
        using var rig = new WorkerRig(VhostUserOptions.BlockDevice, new WorkerProcess(BackEndPrograms.Block, ["--blk-ram=16M"], said.Enqueue));
        using var driver = new DiskDriver<SplitDriver>(rig, 0, Base);
        Assert.True(rig.Ram.Table.TryWrite(new GuestAddress(driver.Setup.Driver.Value + 2), [0xff, 0x7f])); // more than the ring holds
        rig.Device.Start(Base, [driver.Setup]);
        Wait.Until(() => !said.IsEmpty);
        Assert.Contains("error: vring 0 is broken", Assert.Single(said), StringComparison.Ordinal);
    }
}
