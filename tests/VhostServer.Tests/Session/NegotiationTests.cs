using System.Diagnostics;
using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Tests.Session;

public sealed class NegotiationTests
{
    [Fact]
    public void Offered_words_are_those_that_are_served()
    {
        using var device = new TestServer(new EchoDevice());
        using Frontend frontend = device.Connect();
        Assert.Equal(EchoDevice.RingFeatures | VirtioFeatures.ProtocolFeatures | VirtioFeatures.LogAll, frontend.Ask(FrontendRequest.GetFeatures).Word);
        Assert.Equal((ulong)Machine.AllProtocol, frontend.Ask(FrontendRequest.GetProtocolFeatures).Word);

        using var port = new TestServer(new EchoPort());
        using Frontend other = port.Connect();
        Assert.Equal((ulong)(Machine.AllProtocol | ProtocolFeatures.Mtu | ProtocolFeatures.Rarp), other.Ask(FrontendRequest.GetProtocolFeatures).Word);
    }

    [Fact]
    public void M13_features_that_were_not_offered_are_refused_bit_by_bit()
    {
        var device = new EchoDevice();
        using var server = new TestServer(device);
        using Frontend frontend = server.Connect();
        frontend.Negotiate(Machine.Split, ProtocolFeatures.None);
        ulong offered = frontend.Ask(FrontendRequest.GetFeatures).Word;
        for (int bit = 0; bit < 64; bit++)
        {
            ulong wanted = Machine.Split | (1UL << bit);
            Assert.Equal((wanted & ~offered) == 0, frontend.Try(FrontendRequest.SetFeatures, wanted));
        }

        Assert.False(frontend.Try(FrontendRequest.SetFeatures, VirtioFeatures.RingReset | VirtioFeatures.ProtocolFeatures)); // lacks VERSION_1
        Assert.Equal(Machine.Split & ~VirtioFeatures.ProtocolFeatures | VirtioFeatures.RingReset, device.Accepted | VirtioFeatures.RingReset);
    }

    [Fact]
    public void M13_protocol_features_that_were_not_offered_or_lack_their_partner_are_refused()
    {
        using var server = new TestServer(new EchoDevice());
        using Frontend frontend = server.Connect();
        frontend.Negotiate(Machine.Split, ProtocolFeatures.None);
        for (int bit = 0; bit < 64; bit++)
        {
            ulong wanted = (ulong)ProtocolFeatures.ReplyAck | (1UL << bit);
            bool isFine = (wanted & ~(ulong)Machine.AllProtocol) == 0 && wanted != (ulong)(ProtocolFeatures.ReplyAck | ProtocolFeatures.BackendSendFd);
            Assert.Equal(isFine, frontend.Try(FrontendRequest.SetProtocolFeatures, wanted));
        }
    }

    [Fact]
    public void M13_a_request_whose_feature_was_not_negotiated_is_refused()
    {
        using var server = new TestServer(new EchoDevice());
        using Frontend frontend = server.Connect();
        frontend.Negotiate(Machine.Split, ProtocolFeatures.None);
        foreach (FrontendRequest request in (FrontendRequest[])[FrontendRequest.GetQueueNum, FrontendRequest.ResetDevice, FrontendRequest.GetMaxMemSlots, FrontendRequest.GetStatus,
            FrontendRequest.GetShmemConfig, FrontendRequest.CheckDeviceState, FrontendRequest.PostcopyListen, FrontendRequest.PostcopyEnd])
        {
            Assert.False(frontend.Try(request));
        }

        Assert.False(frontend.Try(FrontendRequest.IotlbMsg, new byte[32]));
        frontend.Send(FrontendRequest.GetConfig, new byte[12], needReply: true);
        Assert.Empty(frontend.Receive()!.Payload);
        frontend.Send(FrontendRequest.GetInflightFd, new byte[24]);
        Assert.Equal(0UL, frontend.Receive()!.As<InflightArea>().SizeBytes);
        frontend.Send(FrontendRequest.GetQueueNum, []);
        Assert.True(frontend.IsClosed());
    }

    [Fact]
    public void Answers_of_the_simple_questions()
    {
        using var server = new TestServer(new EchoDevice(queues: 3));
        using Frontend frontend = server.Connect();
        frontend.Negotiate(Machine.Split, Machine.AllProtocol);
        Assert.Equal(3UL, frontend.Ask(FrontendRequest.GetQueueNum).Word);
        Assert.Equal(509UL, frontend.Ask(FrontendRequest.GetMaxMemSlots).Word);
        Assert.True(frontend.Try(FrontendRequest.SetOwner));
        Assert.True(frontend.Try(FrontendRequest.SetOwner));
        Assert.True(frontend.Try(FrontendRequest.SetStatus, 11UL));
        Assert.Equal(11UL, frontend.Ask(FrontendRequest.GetStatus).Word);
        Assert.False(frontend.Try(FrontendRequest.SetStatus, 0x100UL));
        Assert.Equal(11UL, frontend.Ask(FrontendRequest.GetStatus).Word);
    }

    [Fact]
    public void Mtu_and_rarp_reach_a_network_port()
    {
        var port = new EchoPort();
        using var server = new TestServer(port);
        using Frontend frontend = server.Connect();
        frontend.Negotiate(Machine.Split, ProtocolFeatures.Mtu | ProtocolFeatures.Rarp);
        Assert.True(frontend.Try(FrontendRequest.NetSetMtu, 1500UL));
        Assert.False(frontend.Try(FrontendRequest.NetSetMtu, 67UL));
        Assert.Equal(1500UL, port.Mtu);
        Assert.True(frontend.Try(FrontendRequest.SendRarp, 0x0000_0605_0403_0201UL));
        Assert.Equal([1, 2, 3, 4, 5, 6], port.Announced);
    }

    [Fact]
    public void M16_config_space_is_bounded_and_single_bytes_inside_may_be_written()
    {
        var device = new EchoDevice();
        using var server = new TestServer(device);
        using Frontend frontend = server.Connect();
        frontend.Negotiate(Machine.Split, ProtocolFeatures.Config);
        for (uint offset = 0; offset <= 260; offset += offset is < 20 or > 250 ? 1u : 23u)
        {
            for (uint size = 0; size <= 260; size += size is < 20 or > 250 ? 1u : 23u)
            {
                byte[] request = [.. Frontend.Bytes(new ConfigHeader(offset, size, ConfigFlags.Guest)), .. new byte[size]];
                Reply reply = frontend.Ask(FrontendRequest.GetConfig, request);
                if (offset + size > 256)
                {
                    Assert.Empty(reply.Payload);
                    Assert.False(frontend.Try(FrontendRequest.SetConfig, request));
                    continue;
                }

                byte[] expected = [.. device.Config, .. new byte[256]];
                Assert.Equal(request[..12], reply.Payload[..12]);
                Assert.Equal(expected[(int)offset..(int)(offset + size)], reply.Payload[12..]);
            }
        }

        byte[] OneByte(uint offset, byte value, uint flags = 0) => [.. Frontend.Bytes(new ConfigHeader(offset, 1, (ConfigFlags)flags)), value];
        Assert.True(frontend.Try(FrontendRequest.SetConfig, OneByte(9, 77)));
        Assert.Equal(77, device.Config[9]);
        Assert.False(frontend.Try(FrontendRequest.SetConfig, OneByte(3, 77)));
        Assert.Equal(4, device.Config[3]);
        Assert.True(frontend.Try(FrontendRequest.SetConfig, OneByte(3, 78, flags: 1))); // a migration restores, with all rings stopped
        Assert.Equal(78, device.Config[3]);
        Assert.False(frontend.Try(FrontendRequest.SetConfig, OneByte(9, 1, flags: 2)));
        Assert.False(frontend.Try(FrontendRequest.SetConfig, OneByte(16, 1)));
    }

    [Fact]
    public void M16_a_migration_write_with_a_ring_running_counts_as_the_guests()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        Assert.False(machine.Frontend.Try(FrontendRequest.SetConfig, (byte[])[.. Frontend.Bytes(new ConfigHeader(3, 1, ConfigFlags.Migration)), 9]));
        ring.Echo();
    }

    [Fact]
    public void A_config_change_is_told_on_the_back_end_channel_once_a_ring_runs()
    {
        var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect());
        (UnixSocket ours, UnixSocket theirs) = UnixSocket.Pair();
        using var channel = new Frontend(ours);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetBackendReqFd, [], theirs));
        theirs.Dispose();
        device.RaiseConfigChanged();
        Assert.True(machine.Frontend.IsServed());
        Assert.Equal(-Errno.EAGAIN, ours.TryReceive(new byte[1], null, out _)); // suspended: silence
        using TestRing ring = TestRing.Of(machine).Start();
        Reply first = channel.Receive()!;
        Assert.Equal(((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1, 0), ((uint)first.Request, first.Flags, first.Payload.Length));
        device.RaiseConfigChanged();
        Assert.NotNull(channel.Receive());
    }

    [Fact]
    public void Config_changes_without_end_are_told_a_few_times_a_second_and_the_last_one_is()
    {
        var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect());
        (UnixSocket ours, UnixSocket theirs) = UnixSocket.Pair();
        using var channel = new Frontend(ours);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetBackendReqFd, [], theirs));
        theirs.Dispose();
        using TestRing ring = TestRing.Of(machine).Start();
        var clock = Stopwatch.StartNew();
        while (clock.ElapsedMilliseconds < 450)
        {
            device.RaiseConfigChanged();
            Assert.True(machine.Frontend.IsServed());
        }

        int told = 0;
        while (ours.TryReceive(new byte[MessageHeader.SizeInBytes], null, out _) > 0)
        {
            told++;
        }

        Assert.InRange(told, 1, 1 + (int)(clock.ElapsedMilliseconds / 100));
        device.RaiseConfigChanged();
        Assert.NotNull(channel.Receive());
    }

    [Fact]
    public void M14_a_random_walk_over_all_requests_never_harms_the_server()
    {
        var device = new EchoDevice();
        using var server = new TestServer(device);
        server.Connect().Dispose();
        server.WaitForEnd();
        using var eventFd = new EventFd();
        int before = ProcessCounts.Descriptors;
        var random = new Random(20260714);
        for (int round = 0; round < 60; round++)
        {
            using Frontend frontend = server.Connect();
            frontend.Send(FrontendRequest.SetProtocolFeatures, (ulong)Machine.AllProtocol);
            for (int step = 0; step < 60; step++)
            {
                var request = (FrontendRequest)random.Next(1, 45);
                if (request == FrontendRequest.SetProtocolFeatures)
                {
                    continue; // without REPLY_ACK the walk would wait for answers that never come
                }

                MessageRowShape shape = MessageRowShape.Of(request);
                byte[] payload = new byte[random.Next(shape.MinBytes, Math.Min(shape.MaxBytes, 80) + 1)];
                for (int i = 0; i < payload.Length; i += 4)
                {
                    payload[i] = (byte)random.Next(0, 4);
                }

                FileDescriptor[] descriptors = [.. Enumerable.Repeat<FileDescriptor>(eventFd, random.Next(shape.MinDescriptors, Math.Min(shape.MaxDescriptors, 2) + 1))];
                frontend.Send(request, payload, needReply: true, descriptors);
                if (frontend.Receive() is null)
                {
                    break;
                }
            }

            frontend.Dispose();
            server.WaitForEnd();
        }

        Wait.Until(() => ProcessCounts.Descriptors <= before, "all descriptors are closed");
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(10);
    }
}
