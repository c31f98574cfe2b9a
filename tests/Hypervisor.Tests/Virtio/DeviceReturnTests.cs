using System.Runtime.InteropServices;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Tests.Frontend;
using Paravane.Hypervisor.Virtio;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>What happens to a started device when its back-end goes and another comes.</summary>
public sealed class DeviceReturnTests
{
    private const ulong Accepted = VirtioFeatures.Version1;
    private const ProtocolFeatures Recording = DeviceRig.Usual | ProtocolFeatures.InflightShmFd;

    [Theory]
    [InlineData(5, 5, 0UL, VhostUserOptions.BlockDevice, 5)]
    [InlineData(9, 5, 0UL, VhostUserOptions.BlockDevice, null)]
    [InlineData(9, 5, VirtioFeatures.InOrder, VhostUserOptions.BlockDevice, 5)]
    [InlineData(3, 0xffff, 0UL, VhostUserOptions.NetDevice, 0xffff)]
    [InlineData(5, 5, VirtioFeatures.RingPacked, VhostUserOptions.BlockDevice, null)]
    public void Without_a_record_a_ring_goes_on_where_that_is_certain_and_else_needs_a_reset(int available, int used, ulong feature, ushort type, int? expected)
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(DeviceRig.Features | feature, script: Net(type)), options => options with { DeviceId = type });
        VirtqueueSetup queue = rig.Queue(0);
        rig.Start(Accepted | feature, queue);
        rig.SetIndices(queue, (ushort)available, (ushort)used);
        rig.Source[0].Dispose();
        if (expected is { } position)
        {
            rig.AwaitStart(1);
            Assert.Equal((ulong)position << 32, rig.Await(1, FrontendRequest.SetVringBase).Number);
            Assert.Equal(0, rig.NeedsReset);
        }
        else
        {
            Wait.Until(() => rig.NeedsReset == 1);
            Assert.DoesNotContain(rig.Source[1].Received, message => message.Request == FrontendRequest.SetVringKick);
            Assert.Contains("keeps no record", rig.Device.Counters.LastError, StringComparison.Ordinal);
        }
    }

    [Theory, InlineData(0), InlineData(1)]
    public void A_machine_that_ends_does_not_wait_for_a_worker_that_is_coming_up(int hanging)
    {
        using var ending = new CancellationTokenSource();
        DeviceRig Open() => new(
            connection => connection == hanging ? new ScriptedBackEnd(_ => new Answer { Silent = true }) : DeviceRig.Disk(),
            options => options with { Frontend = options.Frontend with { StartTimeout = TimeSpan.FromMinutes(10) }, Ending = ending.Token });

        if (hanging == 0)
        {
            ending.CancelAfter(TimeSpan.FromMilliseconds(100));
            Assert.Contains("closed the connection", Assert.Throws<FrontendException>(Open).Message, StringComparison.Ordinal);
            return;
        }

        using DeviceRig rig = Open();
        rig.Source[0].Dispose();
        rig.Await(1, FrontendRequest.GetFeatures);
        Task pause = rig.Device.PauseAsync(); // as the machine's thread does, and waits
        ending.Cancel();
        Wait.Until(() => pause.IsCompletedSuccessfully);
    }

    [Fact]
    public void Everything_is_told_again_with_the_same_descriptors_and_both_sides_are_woken()
    {
        using var call = new EventFd();
        using var rig = new DeviceRig(_ => DeviceRig.Disk());
        rig.Start(Accepted, rig.Queue(0, call: call), rig.Queue(1));
        Wait.Until(() => rig.Device.KickOf(0).Drain());
        int before = rig.Source[0].Received.ToList().FindIndex(message => message.Request == FrontendRequest.SetFeatures);
        rig.Source[0].Dispose();
        rig.AwaitStart(1);
        Wait.Until(() => rig.Device.Counters.Restarts == 1);
        int again = rig.Source[1].Received.ToList().FindIndex(message => message.Request == FrontendRequest.SetFeatures);
        Assert.Equal(Told(rig.Source[0], before), Told(rig.Source[1], again));
        Wait.Until(() => rig.Device.KickOf(0).Drain());
        Wait.Until(call.Drain);
        Assert.Equal(0, rig.NeedsReset);

        static IEnumerable<(FrontendRequest, string)> Told(ScriptedBackEnd backEnd, int from) =>
            backEnd.Received.Skip(from).Select(message => (message.Request, Convert.ToHexString(message.Payload)));
    }

    [Theory]
    [InlineData(0UL, 0UL)]
    [InlineData(VirtioFeatures.RingPacked, 0x8000_8000UL)]
    public void A_record_is_fetched_once_handed_to_every_back_end_and_replaced_after_a_guest_reset(ulong feature, ulong fresh)
    {
        using MemFd file = MemFd.Create("record", 64 << 10);
        ulong offset = 0;
        using var rig = new DeviceRig(_ => DeviceRig.Disk(DeviceRig.Features | feature, Recording, message => message.Request == FrontendRequest.GetInflightFd
            ? new Answer { Payload = Bytes(new InflightArea(16 << 10, offset, 2, VhostUserOptions.DefaultQueueSize)), File = file, Descriptors = 1 }
            : null));
        VirtqueueSetup queue = rig.Queue(0);
        rig.Start(Accepted | feature, queue);
        rig.SetIndices(queue, available: 9, used: 5); // under way, so that only a record helps
        rig.Source[0].Dispose();
        rig.AwaitStart(1);
        Assert.DoesNotContain(rig.Source[1].Received, message => message.Request == FrontendRequest.GetInflightFd);
        Received handed = rig.Await(1, FrontendRequest.SetInflightFd);
        Assert.Equal(1, handed.Descriptors);
        Assert.Equal(16UL << 10, MemoryMarshal.Read<InflightArea>(handed.Payload).SizeBytes);
        Assert.Equal(feature == 0 ? 5UL << 32 : fresh << 32, rig.Await(1, FrontendRequest.SetVringBase).Number);

        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        offset = 32 << 10;
        rig.Device.Start(Accepted | feature, [queue]);
        Wait.Until(() => rig.Source[1].Received.Count(message => message.Request == FrontendRequest.SetInflightFd) == 2);
        Assert.Equal(32UL << 10, MemoryMarshal.Read<InflightArea>(rig.Source[1].Received.Last(message => message.Request == FrontendRequest.SetInflightFd).Payload).OffsetBytes);
    }

    /// <summary>A record ends with the last part, as those of libvhost-user and of DPDK do, or there is room behind it, as in ours.</summary>
    [Theory]
    [InlineData(RingFormat.Split, 0)]
    [InlineData(RingFormat.Split, 64)]
    [InlineData(RingFormat.Split, 4096)]
    [InlineData(RingFormat.Packed, 0)]
    [InlineData(RingFormat.Packed, 64)]
    public void A_ring_that_is_reset_has_its_part_of_the_record_cleared_and_nothing_else(RingFormat format, int room)
    {
        const int Offset = 4096;
        ulong feature = format == RingFormat.Packed ? VirtioFeatures.RingPacked : 0;
        int part = format == RingFormat.Packed ? 32 + (256 * 32) + 32 : 16 + (256 * 16) + 48; // header and entries, up to a multiple of 64
        using MemFd file = MemFd.Create("record", 64 << 10);
        using Mapping record = Mapping.OfFile(file, 0, 64 << 10);
        using var rig = new DeviceRig(_ => DeviceRig.Disk(DeviceRig.Features | feature, Recording, message => message.Request == FrontendRequest.GetInflightFd
            ? new Answer { Payload = Bytes(new InflightArea((ulong)((2 * part) + room), Offset, 2, VhostUserOptions.DefaultQueueSize)), File = file, Descriptors = 1 }
            : null));
        rig.Start(Accepted | feature, rig.Queue(0), rig.Queue(1));
        BytesOf(record).Fill(1);
        StopQueue(rig, 1);
        AssertCleared(record, Offset + part);
        BytesOf(record).Fill(1);
        StopQueue(rig, 0);
        AssertCleared(record, Offset);
        Assert.Equal(0, rig.NeedsReset);

        void AssertCleared(Mapping record, int start)
        {
            ReadOnlySpan<byte> bytes = BytesOf(record);
            Assert.False(bytes[..start].Contains((byte)0));
            Assert.False(bytes.Slice(start, part).ContainsAnyExcept((byte)0));
            Assert.False(bytes[(start + part)..].Contains((byte)0));
        }
    }

    [Fact]
    public void A_record_too_small_for_its_queues_cannot_be_mended_when_a_ring_is_reset()
    {
        using MemFd file = MemFd.Create("record", 64 << 10);
        using Mapping record = Mapping.OfFile(file, 0, 64 << 10);
        using var rig = new DeviceRig(_ => DeviceRig.Disk(protocol: Recording, script: message => message.Request == FrontendRequest.GetInflightFd
            ? new Answer { Payload = Bytes(new InflightArea(8000, 0, 2, VhostUserOptions.DefaultQueueSize)), File = file, Descriptors = 1 }
            : null));
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        BytesOf(record).Fill(1);
        StopQueue(rig, 0);
        Wait.Until(() => rig.NeedsReset == 1);
        Assert.Contains("0x1f40 bytes", rig.Device.Counters.LastError, StringComparison.Ordinal);
        Assert.False(BytesOf(record).Contains((byte)0));
    }

    [Fact]
    public void What_the_driver_wrote_into_the_configuration_is_read_at_once_and_told_to_every_back_end()
    {
        const ulong ConfigWce = 1UL << 11;
        using var rig = new DeviceRig(_ => DeviceRig.Disk(DeviceRig.Features | ConfigWce));
        rig.Start(Accepted | ConfigWce, rig.Queue(0));
        byte[] read = new byte[1];
        rig.Device.WriteConfig(32, [0]);
        rig.Device.ReadConfig(32, read);
        Assert.Equal(0, read[0]);
        Received written = rig.Await(0, FrontendRequest.SetConfig);
        Assert.Equal([32, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], written.Payload);
        rig.Device.WriteConfig(32, [7]); // no value of that byte
        rig.Device.WriteConfig(0, new byte[8]); // the capacity is the device's
        rig.Source[0].Dispose();
        rig.AwaitStart(1);
        Assert.Equal(written.Payload, rig.Await(1, FrontendRequest.SetConfig).Payload);
        Assert.Single(rig.Source[0].Received, message => message.Request == FrontendRequest.SetConfig);
    }

    [Fact]
    public void Reading_and_writing_beyond_the_configuration_is_harmless()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk());
        byte[] data = [1, 2, 3, 4, 5, 6, 7, 8];
        foreach (uint offset in (uint[])[59, 60, 61, 256, int.MaxValue, uint.MaxValue - 3, uint.MaxValue])
        {
            rig.Device.WriteConfig(offset, [1, 1, 1, 1]);
            data.AsSpan().Fill(0xee);
            rig.Device.ReadConfig(offset, data);
            Assert.False(data.AsSpan().ContainsAnyExcept((byte)0));
        }
    }

    [Fact]
    public async Task Memory_that_comes_while_nobody_serves_is_told_to_the_successor()
    {
        using var gate = new ManualResetEventSlim();
        using var rig = new DeviceRig(connection => connection == 0 || gate.IsSet ? DeviceRig.Disk() : throw new IOException("nobody there"));
        rig.Start(Accepted, rig.Queue(0));
        rig.Source[0].Dispose();
        Wait.Until(() => rig.Device.Counters.Losses >= 2);
        using MemFd file = MemFd.Create("more", 2 << 20);
        await rig.Device.AddMemoryAsync(new GuestRamRegion(new GuestAddress(1UL << 32), new UserAddress(0x7100_0000_0000), 2 << 20, 0, file))
            .WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        gate.Set();
        rig.AwaitStart(1);
        Assert.Equal(2, rig.Source[1].Received.Count(message => message.Request == FrontendRequest.AddMemReg));
    }

    [Fact]
    public void Attempts_go_on_with_growing_pauses_and_a_reset_meanwhile_is_answered()
    {
        int attempts = 0;
        using var rig = new DeviceRig(connection => connection == 0 ? DeviceRig.Disk() : throw new IOException($"nobody there{(Interlocked.Increment(ref attempts) < 0 ? "!" : string.Empty)}"));
        rig.Start(Accepted, rig.Queue(0));
        rig.Source[0].Dispose();
        Thread.Sleep(1500);
        Assert.InRange(Volatile.Read(ref attempts), 4, 8); // after 10, 20, 40, … ms
        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        Assert.Equal(2, rig.Log.Count); // the loss, and why there is no successor; not each attempt
        Assert.Equal(0, rig.NeedsReset);
    }

    [Fact]
    public async Task A_back_end_that_dies_in_a_pause_is_followed_by_one_that_starts_at_the_resume()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(script: message => message.Request == FrontendRequest.GetVringBase ? Answer.Of(77UL << 32) : null));
        rig.Start(Accepted, rig.Queue(0));
        await rig.Device.PauseAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        rig.Source[0].Dispose();
        _ = rig.Await(1, FrontendRequest.GetConfig);
        Thread.Sleep(20);
        Assert.DoesNotContain(rig.Source[1].Received, message => message.Request == FrontendRequest.SetVringKick);
        await rig.Device.ResumeAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(77UL << 32, rig.Await(1, FrontendRequest.SetVringBase).Number);
    }

    private static Func<Received, Answer?> Net(ushort type) => message =>
        type == VhostUserOptions.NetDevice && message.Request == FrontendRequest.GetConfig ? DeviceRig.ConfigAnswer(message, DeviceRig.NetConfig(1)) : null;

    private static void StopQueue(DeviceRig rig, int queue)
    {
        using var stopped = new ManualResetEventSlim();
        rig.Device.StopQueue(queue, stopped.Set);
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
    }

    private static unsafe Span<byte> BytesOf(Mapping mapping) => new(mapping.Address, (int)mapping.LengthBytes);

    private static byte[] Bytes(InflightArea area) => MemoryMarshal.AsBytes(new ReadOnlySpan<InflightArea>(in area)).ToArray();
}
