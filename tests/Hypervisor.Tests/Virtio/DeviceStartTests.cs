using System.Runtime.InteropServices;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Tests.Frontend;
using Paravane.Hypervisor.Virtio;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

public sealed class DeviceStartTests
{
    private const ulong Accepted = VirtioFeatures.Version1;

    [Fact]
    public void A_start_is_told_in_one_order_memory_first_each_ring_enabled_before_it_starts_DRIVER_OK_last_and_kicks_each_queue()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk());
        using var call = new EventFd();
        int before = rig.Source[0].Received.Count;
        rig.Start(Accepted, rig.Queue(0, call: call), rig.Queue(1));
        Assert.Equal(
        [
            FrontendRequest.SetFeatures, FrontendRequest.SetStatus, FrontendRequest.AddMemReg, FrontendRequest.SetVringNum, FrontendRequest.SetVringNum,
            FrontendRequest.SetVringEnable,
            FrontendRequest.SetVringAddr, FrontendRequest.SetVringBase, FrontendRequest.SetVringCall, FrontendRequest.SetVringErr, FrontendRequest.SetVringKick,
            FrontendRequest.SetVringEnable,
            FrontendRequest.SetVringAddr, FrontendRequest.SetVringBase, FrontendRequest.SetVringCall, FrontendRequest.SetVringErr, FrontendRequest.SetVringKick,
            FrontendRequest.SetStatus,
        ], rig.Source[0].Received.Skip(before).Select(message => message.Request));
        Assert.Equal(Accepted | VirtioFeatures.ProtocolFeatures, rig.Await(0, FrontendRequest.SetFeatures).Number);
        Assert.Equal(1, rig.Await(0, FrontendRequest.SetVringCall).Descriptors);
        Assert.Equal(0x101UL, rig.Await(0, FrontendRequest.SetVringCall, message => message.Descriptors == 0).Number); // no interrupt wanted: said so
        Wait.Until(() => rig.Device.KickOf(0).Drain());
        Wait.Until(() => rig.Device.KickOf(1).Drain());
        Assert.Equal(1, rig.Device.Counters.Starts);
        Assert.Equal(0, rig.Device.Counters.Restarts);
    }

    [Fact]
    public void A_reset_stops_every_ring_before_it_says_so_and_the_next_start_begins_afresh()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(protocol: DeviceRig.Usual | ProtocolFeatures.ResetDevice));
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        using var stopped = new ManualResetEventSlim();
        int answered = 0;
        rig.Device.Stop(() =>
        {
            answered = rig.Source[0].Received.Count(message => message.Request == FrontendRequest.GetVringBase);
            stopped.Set();
        });
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        Assert.Equal(2, answered);
        Assert.Equal(FrontendRequest.ResetDevice, rig.Source[0].Received[^1].Request);
        int before = rig.Source[0].Received.Count;
        rig.Device.Start(Accepted, [rig.Queue(0)]);
        Wait.Until(() => rig.Source[0].Received.Skip(before).Any(message => message.Request == FrontendRequest.SetVringKick));
        Assert.DoesNotContain(rig.Source[0].Received.Skip(before), message => message.Request == FrontendRequest.AddMemReg); // it knows the memory
        Received kick = rig.Source[0].Received.Skip(before).First(message => message.Request == FrontendRequest.SetVringBase);
        Assert.Equal(0UL, kick.Number);
    }

    [Fact]
    public void A_reset_of_a_device_that_was_never_started_is_answered()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk());
        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        Assert.DoesNotContain(rig.Source[0].Received, message => message.Request == FrontendRequest.SetStatus);
    }

    [Theory]
    [InlineData("size 0")]
    [InlineData("size 24")]
    [InlineData("size over the limit")]
    [InlineData("misaligned descriptors")]
    [InlineData("misaligned driver area")]
    [InlineData("misaligned device area")]
    [InlineData("outside")]
    [InlineData("over the end")]
    [InlineData("at the end of addresses")]
    [InlineData("no such queue")]
    public void A_ring_that_cannot_be_needs_a_reset_and_the_back_end_hears_nothing(string kind)
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk());
        VirtqueueSetup good = rig.Queue(0);
        ulong end = rig.Ram.Regions[0].SizeBytes;
        VirtqueueSetup bad = kind switch
        {
            "size 0" => good with { Size = 0 },
            "size 24" => good with { Size = 24 },
            "size over the limit" => good with { Size = 512 },
            "misaligned descriptors" => good with { Descriptors = new GuestAddress(good.Descriptors.Value + 8) },
            "misaligned driver area" => good with { Driver = new GuestAddress(good.Driver.Value + 1) },
            "misaligned device area" => good with { Device = new GuestAddress(good.Device.Value + 2) },
            "outside" => good with { Descriptors = new GuestAddress(1UL << 40) },
            "over the end" => good with { Descriptors = new GuestAddress(end - 128) },
            "at the end of addresses" => good with { Device = new GuestAddress(ulong.MaxValue - 3) },
            _ => good with { Index = 2 },
        };
        int before = rig.Source[0].Received.Count;
        rig.Device.Start(Accepted, [good, bad]);
        Wait.Until(() => rig.NeedsReset == 1);
        Assert.Equal(before, rig.Source[0].Received.Count);
        Assert.Equal(1, rig.Device.Counters.NeedsResets);
        Assert.Contains($"queue {bad.Index}: ", rig.Device.Counters.LastError, StringComparison.Ordinal);

        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        rig.Start(Accepted, good);
    }

    [Fact]
    public void What_a_back_end_refuses_of_a_driver_needs_a_reset_and_the_connection_stays()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(script: message => message.Request == FrontendRequest.SetVringAddr ? Answer.Of(1) : null));
        rig.Device.Start(Accepted, [rig.Queue(0)]);
        Wait.Until(() => rig.NeedsReset == 1);
        Assert.Equal("SET_VRING_ADDR: the back-end refused it (answer 1)", rig.Device.Counters.LastError);
        Assert.Equal(1, rig.Device.Counters.Refusals);
        Assert.Equal(1, rig.Source.Count);
    }

    [Fact]
    public void A_ring_that_was_reset_stops_and_starts_alone()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk());
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        int before = rig.Source[0].Received.Count;
        using var stopped = new ManualResetEventSlim();
        rig.Device.StopQueue(1, stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        rig.Device.StartQueue(rig.Queue(1, size: 32));
        Wait.Until(() => rig.Source[0].Received.Skip(before).Any(message => message.Request == FrontendRequest.SetVringKick));
        Assert.Equal(
        [
            FrontendRequest.SetVringEnable, FrontendRequest.GetVringBase, FrontendRequest.SetVringNum, FrontendRequest.SetVringEnable, FrontendRequest.SetVringAddr,
            FrontendRequest.SetVringBase, FrontendRequest.SetVringCall, FrontendRequest.SetVringErr, FrontendRequest.SetVringKick,
        ], rig.Source[0].Received.Skip(before).Select(message => message.Request));
        Assert.All(rig.Source[0].Received.Skip(before), message => Assert.Equal(1, message.Payload[0]));
    }

    [Fact]
    public void A_changed_call_descriptor_is_told_while_the_ring_runs()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk());
        using var call = new EventFd();
        rig.Start(Accepted, rig.Queue(0));
        rig.Device.SetCall(0, call);
        _ = rig.Await(0, FrontendRequest.SetVringCall, message => message.Descriptors == 1);
        rig.Device.SetCall(0, null);
        Wait.Until(() => rig.Source[0].Received.Count(message => message.Request == FrontendRequest.SetVringCall) == 3);
        Assert.Equal(0, rig.Source[0].Received[^1].Descriptors);
    }

    [Fact]
    public void A_broken_ring_is_reported_once_and_healed_by_a_reset()
    {
        FileDescriptor? error = null;
        using var rig = new DeviceRig(_ => new ScriptedBackEnd(message => message.Request == FrontendRequest.GetConfig ? DeviceRig.ConfigAnswer(message, DeviceRig.BlockConfig(64)) : null)
        {
            Features = DeviceRig.Features,
            ProtocolFeatures = DeviceRig.Usual,
            Observe = (message, files) => error = message.Request == FrontendRequest.SetVringErr ? files[0].Duplicate() : error,
        });
        rig.Start(Accepted, rig.Queue(0));
        for (int i = 0; i < 3; i++)
        {
            Assert.True(EventFd.Signal(error!.Number));
        }

        Wait.Until(() => rig.NeedsReset == 1);
        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        rig.Device.Start(Accepted, [rig.Queue(0)]);
        Wait.Until(() => rig.Device.Counters.Starts == 2 && rig.Source[0].Received.Count(message => message.Request == FrontendRequest.SetVringKick) == 2);
        Assert.Equal(1, rig.NeedsReset);
        error!.Dispose();
    }

    [Fact]
    public async Task A_pause_keeps_positions_and_a_resume_goes_on_from_them()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(script: message => message.Request == FrontendRequest.GetVringBase ? Answer.Of(77UL << 32) : null));
        rig.Start(Accepted, rig.Queue(0));
        await rig.Device.PauseAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        int before = rig.Source[0].Received.Count;
        Assert.Equal(FrontendRequest.GetVringBase, rig.Source[0].Received[^1].Request);
        await rig.Device.ResumeAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(77UL << 32, rig.Source[0].Received.Skip(before).Single(message => message.Request == FrontendRequest.SetVringBase).Number);
        Assert.Equal(0, rig.Device.Counters.Restarts);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Memory_that_comes_at_run_time_is_mapped_when_the_task_completes(bool slots)
    {
        ProtocolFeatures protocol = slots ? DeviceRig.Usual : DeviceRig.Usual & ~ProtocolFeatures.ConfigureMemSlots;
        using var rig = new DeviceRig(_ => DeviceRig.Disk(protocol: protocol));
        rig.Start(Accepted, rig.Queue(0));
        int before = rig.Source[0].Received.Count;
        using MemFd file = MemFd.Create("more", 2 << 20);
        var region = new GuestRamRegion(new GuestAddress(1UL << 32), new UserAddress(0x7100_0000_0000), 2 << 20, 0, file);
        await rig.Device.AddMemoryAsync(region).WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Received told = Assert.Single(rig.Source[0].Received.Skip(before));
        Assert.Equal(slots ? FrontendRequest.AddMemReg : FrontendRequest.SetMemTable, told.Request);
        MemoryRegion last = MemoryMarshal.Read<MemoryRegion>(told.Payload.AsSpan(told.Payload.Length - 32));
        Assert.Equal((1UL << 32, 0x7100_0000_0000UL), (last.GuestAddress, last.UserAddress));
    }

    [Fact]
    public async Task Memory_that_the_back_end_refuses_is_an_error_and_is_not_told_again()
    {
        int regions = 0;
        using var rig = new DeviceRig(_ => DeviceRig.Disk(script: message => message.Request == FrontendRequest.AddMemReg && ++regions == 2 ? Answer.Of(1) : null));
        rig.Start(Accepted, rig.Queue(0));
        using MemFd file = MemFd.Create("more", 2 << 20);
        var region = new GuestRamRegion(new GuestAddress(1UL << 32), new UserAddress(0x7100_0000_0000), 2 << 20, 0, file);
        FrontendException error = await Assert.ThrowsAsync<FrontendException>(() => rig.Device.AddMemoryAsync(region).WaitAsync(Wait.Limit, TestContext.Current.CancellationToken));
        Assert.Equal("disk0: ADD_MEM_REG: the back-end refused it (answer 1)", error.Message);
        await rig.Device.AddMemoryAsync(region).WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(3, rig.Source[0].Received.Count(message => message.Request == FrontendRequest.AddMemReg));
        Assert.Equal(1, rig.Source.Count);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Memory_that_another_device_refused_is_taken_back(bool slots)
    {
        ProtocolFeatures protocol = slots ? DeviceRig.Usual : DeviceRig.Usual & ~ProtocolFeatures.ConfigureMemSlots;
        using var rig = new DeviceRig(_ => DeviceRig.Disk(protocol: protocol));
        rig.Start(Accepted, rig.Queue(0));
        using MemFd file = MemFd.Create("more", 2 << 20);
        var region = new GuestRamRegion(new GuestAddress(1UL << 32), new UserAddress(0x7100_0000_0000), 2 << 20, 0, file);
        await rig.Device.AddMemoryAsync(region).WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        int before = rig.Source[0].Received.Count;
        await rig.Device.RemoveMemoryAsync(region).WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        await rig.Device.RemoveMemoryAsync(region).WaitAsync(Wait.Limit, TestContext.Current.CancellationToken); // it does not have it
        Received told = Assert.Single(rig.Source[0].Received.Skip(before));
        Assert.Equal(slots ? FrontendRequest.RemMemReg : FrontendRequest.SetMemTable, told.Request);
        ulong last = MemoryMarshal.Read<MemoryRegion>(told.Payload.AsSpan(told.Payload.Length - 32)).GuestAddress;
        Assert.Equal(slots ? 1UL << 32 : rig.Ram.Regions[^1].Guest.Value, last);
        await rig.Device.AddMemoryAsync(region).WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(before + 2, rig.Source[0].Received.Count);
        Assert.Equal(0, rig.Device.Counters.Losses);
    }
}
