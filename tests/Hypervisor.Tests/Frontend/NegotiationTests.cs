using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Frontend;

public sealed class NegotiationTests
{
    /// <summary>Requests that are answered by themselves and must not ask for an acknowledgement.</summary>
    private static readonly FrontendRequest[] s_replied =
    [
        FrontendRequest.GetFeatures, FrontendRequest.GetProtocolFeatures, FrontendRequest.GetQueueNum, FrontendRequest.GetMaxMemSlots,
        FrontendRequest.GetConfig, FrontendRequest.GetVringBase, FrontendRequest.GetStatus,
    ];

    [Fact]
    public void Against_an_old_back_end_nothing_is_sent_that_it_does_not_know()
    {
        using var backEnd = new ScriptedBackEnd { Features = VirtioFeatures.Version1 };
        using VhostUserFrontend frontend = backEnd.Connect();
        using GuestRam ram = GuestRam.Create(1 << 20);
        using var queue = new FrontendQueue(ram, 0, 16, VirtioFeatures.Version1);
        frontend.SetFeatures(VirtioFeatures.Version1);
        _ = SplitDriver.Open(queue.Ring);
        FrontendDevice.Start(frontend, ram, [queue]);
        FrontendDevice.Stop(frontend, [queue]);
        Assert.Equal(
        [
            FrontendRequest.GetFeatures, FrontendRequest.SetOwner, FrontendRequest.SetFeatures, FrontendRequest.SetMemTable, FrontendRequest.SetVringNum,
            FrontendRequest.SetVringBase, FrontendRequest.SetVringAddr, FrontendRequest.SetVringErr, FrontendRequest.SetVringKick,
            FrontendRequest.SetVringCall, FrontendRequest.GetVringBase,
        ], backEnd.Received.Select(message => message.Request));
        Assert.All(backEnd.Received, message => Assert.Equal(MessageFlags.Version1, message.Flags));
    }

    [Fact]
    public void With_REPLY_ACK_every_request_that_can_be_acknowledged_asks_for_it()
    {
        using var backEnd = new ScriptedBackEnd { ProtocolFeatures = FrontendOptions.Supported };
        using VhostUserFrontend frontend = backEnd.Connect();
        using GuestRam ram = GuestRam.Create(1 << 20);
        frontend.SetFeatures(VirtioFeatures.Version1 | VirtioFeatures.EventIdx);
        using var queue = new FrontendQueue(ram, 1, 16, frontend.Features);
        FrontendDevice.Start(frontend, ram, [queue]);
        frontend.SetMtu(1500);
        frontend.WriteConfig(32, [1]);
        frontend.ResetDevice();
        _ = frontend.GetStatus();
        FrontendDevice.Stop(frontend, [queue]);
        bool negotiated = false;
        foreach (Received message in backEnd.Received)
        {
            Assert.Equal(negotiated && Array.IndexOf(s_replied, message.Request) < 0, message.WantsReply);
            negotiated |= message.Request == FrontendRequest.SetProtocolFeatures;
        }

        Assert.Contains(backEnd.Received, message => message.Request == FrontendRequest.AddMemReg);
        Assert.DoesNotContain(backEnd.Received, message => message.Request == FrontendRequest.SetMemTable);
        Assert.Equal(2, backEnd.Received.Count(message => message.Request == FrontendRequest.SetVringEnable));
    }

    [Theory]
    [InlineData(FrontendOptions.Untracked)]
    [InlineData(FrontendOptions.Supported)]
    public void Only_what_both_sides_know_is_accepted(ProtocolFeatures known)
    {
        using var backEnd = new ScriptedBackEnd { ProtocolFeatures = (ProtocolFeatures)ulong.MaxValue };
        using VhostUserFrontend frontend = backEnd.Connect(accept: known);
        Assert.Equal(known, frontend.ProtocolFeatures);
        Assert.Equal((ulong)known, backEnd.Received.Single(message => message.Request == FrontendRequest.SetProtocolFeatures).Number);
    }

    [Fact]
    public void A_feature_that_is_not_offered_is_never_sent()
    {
        using var backEnd = new ScriptedBackEnd();
        using VhostUserFrontend frontend = backEnd.Connect();
        Assert.Throws<ArgumentException>(() => frontend.SetFeatures(VirtioFeatures.RingPacked));
        Assert.DoesNotContain(backEnd.Received, message => message.Request == FrontendRequest.SetFeatures);
    }

    [Fact]
    public void A_request_whose_protocol_feature_is_missing_says_so_and_is_not_sent()
    {
        using var backEnd = new ScriptedBackEnd();
        using VhostUserFrontend frontend = backEnd.Connect();
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.ReadConfig(0, 8));
        Assert.Equal("GET_CONFIG: the back-end does not offer the protocol feature Config", error.Message);
        Assert.Equal(2, backEnd.Received.Count(message => message.Request is FrontendRequest.GetFeatures or FrontendRequest.GetProtocolFeatures));
    }

    [Theory]
    [InlineData(RingFormat.Split)]
    [InlineData(RingFormat.Packed)]
    public void Ring_addresses_are_those_of_the_front_end_and_lie_in_the_memory_it_told(RingFormat format)
    {
        ulong features = VirtioFeatures.Version1 | VirtioFeatures.ProtocolFeatures | (format == RingFormat.Packed ? VirtioFeatures.RingPacked : 0);
        using var backEnd = new ScriptedBackEnd { Features = features };
        using VhostUserFrontend frontend = backEnd.Connect();
        using GuestRam ram = GuestRam.Create(1 << 20);
        frontend.SetFeatures(features);
        using var queue = new FrontendQueue(ram, 0, 16, features);
        FrontendDevice.Start(frontend, ram, [queue]);
        _ = frontend.GetVringBase(0); // everything before it has arrived when it is answered

        Received table = backEnd.Received.Single(message => message.Request == FrontendRequest.SetMemTable);
        Assert.Equal(1, table.Descriptors);
        MemoryRegion region = MemoryMarshal.Read<MemoryRegion>(table.Payload.AsSpan(Unsafe.SizeOf<MemoryTableHeader>()));
        VringAddress address = MemoryMarshal.Read<VringAddress>(backEnd.Received.Single(message => message.Request == FrontendRequest.SetVringAddr).Payload);
        Assert.NotEqual(region.GuestAddress, region.UserAddress);
        Assert.Equal(queue.Ring.DescriptorArea.Value - region.GuestAddress, address.Descriptor - region.UserAddress);
        Assert.Equal(queue.Ring.DriverArea.Value - region.GuestAddress, address.Available - region.UserAddress);
        Assert.Equal(queue.Ring.DeviceArea.Value - region.GuestAddress, address.Used - region.UserAddress);
        Assert.InRange(address.Used, region.UserAddress, region.UserAddress + region.SizeBytes - 1);
        VringState start = MemoryMarshal.Read<VringState>(backEnd.Received.Single(message => message.Request == FrontendRequest.SetVringBase).Payload);
        Assert.Equal(format == RingFormat.Packed ? 0x8000_8000u : 0u, start.Num);
    }

    [Fact]
    public void A_vring_without_descriptor_says_so_in_the_message()
    {
        using var backEnd = new ScriptedBackEnd();
        using VhostUserFrontend frontend = backEnd.Connect();
        frontend.SetVringCall(3, null);
        _ = frontend.GetVringBase(0);
        Received message = backEnd.Received.Single(received => received.Request == FrontendRequest.SetVringCall);
        Assert.Equal(0x103UL, message.Number);
        Assert.Equal(0, message.Descriptors);
    }

    [Fact]
    public void More_regions_than_the_back_end_takes_are_refused_before_anything_is_sent()
    {
        using var backEnd = new ScriptedBackEnd();
        using VhostUserFrontend frontend = backEnd.Connect();
        using GuestRam ram = GuestRam.Create(1 << 20);
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.SetMemory([.. Enumerable.Repeat(ram.Regions[0], 9)]));
        Assert.Equal("9 memory regions: the back-end takes 8", error.Message);
    }

    [Fact]
    public void A_worker_that_comes_up_late_is_waited_for_but_its_later_answers_are_not()
    {
        TimeSpan patience = TimeSpan.FromMilliseconds(200);
        using var backEnd = new ScriptedBackEnd(message =>
        {
            if (message.Request == FrontendRequest.GetFeatures)
            {
                Thread.Sleep(3 * patience);
            }

            return message.Request == FrontendRequest.GetStatus ? new Answer { Silent = true } : null;
        })
        {
            ProtocolFeatures = ProtocolFeatures.Status,
        };
        var options = new FrontendOptions { ReplyTimeout = patience, StartTimeout = TimeSpan.FromSeconds(20) };
        using VhostUserFrontend frontend = VhostUserFrontend.Attach(backEnd.FrontendEnd, options);
        FrontendException error = Assert.Throws<FrontendException>(() => frontend.GetStatus());
        Assert.Equal("GET_STATUS: no answer within 200 ms", error.Message);
    }

    [Theory]
    [InlineData(true, "GET_FEATURES: no answer within 200 ms")]
    [InlineData(false, "GET_FEATURES: no answer within 100 ms: it does not speak vhost-user, or serves another front-end")]
    public void Only_a_stranger_is_said_not_to_speak_vhost_user(bool isWorker, string expected)
    {
        using var backEnd = new ScriptedBackEnd(_ => new Answer { Silent = true });
        var options = new FrontendOptions { ReplyTimeout = TimeSpan.FromMilliseconds(100), StartTimeout = isWorker ? TimeSpan.FromMilliseconds(200) : null };
        Assert.Equal(expected, Assert.Throws<FrontendException>(() => VhostUserFrontend.Attach(backEnd.FrontendEnd, options)).Message);
    }
}
