using System.Net;
using System.Net.Sockets;
using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using static Paravane.Backends.Net.Tests.NetworkNamespace;

namespace Paravane.Backends.Net.Tests;

/// <summary>A real TAP in a network namespace, with the kernel's stack on its other side.</summary>
public sealed class TapTests
{
    private const ulong ReceiveOffloads = NetFeatures.GuestCsum | NetFeatures.GuestTso4 | NetFeatures.GuestTso6 | NetFeatures.GuestUso4 | NetFeatures.GuestUso6;
    private const ulong TransmitOffloads = NetFeatures.Csum | NetFeatures.HostTso4 | NetFeatures.HostTso6 | NetFeatures.HostUso;
    private const int Port = 7001, GuestPort = 7002, UdpSegment = 103; // UDP_SEGMENT

    public static TheoryData<Rings> Formats => RingsExtensions.Formats;

    [Theory, MemberData(nameof(Formats))]
    public void The_host_answers_a_ping(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings);
        Offer(rig.Pair, 64, 1526);
        byte[] payload = Frames.Pattern(1000);
        rig.Pair.Send(NetHeader.Plain, Packets.GuestPing(rig.HostMac, payload), 12, 14, 20);
        Received answer = rig.Take(frame => frame.Length > 42 && frame[23] == 1 && frame[34] == 0);
        Assert.Equal(payload, answer.Frame[42..]);
        Assert.Equal(NetHeaderFlags.None, answer.Header.Flags);
        Assert.Equal(0, rig.Pair.Pair.Drops.Total);
    });

    [Theory, MemberData(nameof(Formats))]
    public void Datagrams_pass_both_ways_with_every_checksum_complete(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings);
        using Socket host = TapRig.Udp(Port);
        Offer(rig.Pair, 200, 1526);
        byte[] buffer = new byte[2000];
        for (int i = 0; i < 50; i++)
        {
            byte[] payload = Frames.Pattern(20 + (i * 29), (byte)i);
            rig.Pair.Send(NetHeader.Plain, Packets.GuestUdp(rig.HostMac, GuestPort, Port, payload), 12 + (i % 40));
            rig.RunUntil(() => host.Available > 0, "a datagram for the host");
            EndPoint from = new IPEndPoint(IPAddress.Any, 0);
            int length = host.ReceiveFrom(buffer, ref from);
            Assert.Equal(payload, buffer[..length]);
            Assert.Equal(new IPEndPoint(TapRig.GuestAddress, GuestPort), from);

            host.SendTo(payload, from);
            Received received = rig.Take(TapRig.IsUdpTo(GuestPort));
            Assert.Equal(payload, received.Frame[42..]);
            Assert.Equal(NetHeader.Plain.WithBuffers(received.Header.NumBuffers), received.Header);
            Assert.True(Packets.HasValidChecksum(received.Frame, out _));
        }
    });

    [Theory, MemberData(nameof(Formats))]
    public void Segmentation_without_its_checksum_feature_is_not_used(Rings rings) => Run(() =>
    {
        // What a guest negotiates that QEMU gives csum=off or guest_csum=off.
        using var rig = new TapRig(rings, (TransmitOffloads | ReceiveOffloads) & ~(NetFeatures.Csum | NetFeatures.GuestCsum));
        using Socket host = TapRig.Udp(Port);
        Offer(rig.Pair, 64, 1526);
        SendSegmented(host, Frames.Pattern(3000), 1000);
        for (int i = 0; i < 3; i++)
        {
            Received received = rig.Take(TapRig.IsUdpTo(GuestPort));
            Assert.Equal(GsoType.None, received.Header.GsoType);
            Assert.True(Packets.HasValidChecksum(received.Frame, out _));
        }

        byte[] frame = Packets.GuestUdp(rig.HostMac, GuestPort, Port, Frames.Pattern(3000));
        rig.Pair.Send(OpenUdpChecksum(frame, GsoType.UdpL4, 1000), frame);
        rig.RunUntil(() => rig.Pair.TakeSent() == 1, "the frame comes back");
        Assert.Equal(1, rig.Pair.Pair.Drops[Drop.NotNegotiated]);
    });

    [Theory, MemberData(nameof(Formats))]
    public void Open_checksums_pass_both_ways_where_negotiated(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings, NetFeatures.Csum | NetFeatures.GuestCsum);
        using Socket host = TapRig.Udp(Port);
        Offer(rig.Pair, 64, 1526);
        byte[] payload = Frames.Pattern(500);
        byte[] frame = Packets.GuestUdp(rig.HostMac, GuestPort, Port, payload);
        rig.Pair.Send(OpenUdpChecksum(frame, GsoType.None, 0), frame);
        rig.RunUntil(() => host.Available > 0, "a datagram for the host");
        byte[] buffer = new byte[2000];
        Assert.Equal(payload, buffer[..host.Receive(buffer)]);

        host.SendTo(payload, new IPEndPoint(TapRig.GuestAddress, GuestPort));
        Received received = rig.Take(TapRig.IsUdpTo(GuestPort));
        Assert.Equal(NetHeaderFlags.NeedsCsum, received.Header.Flags);
        Assert.Equal((34, 6), (received.Header.CsumStart, received.Header.CsumOffset));
        Assert.False(Packets.HasValidChecksum(received.Frame, out _));
        Assert.Equal(payload, received.Frame[42..]);
    });

    [Theory, MemberData(nameof(Formats))]
    public void The_kernel_cuts_what_the_guest_leaves_whole(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings, TransmitOffloads);
        using Socket host = TapRig.Udp(Port);
        byte[] payload = Frames.Pattern(30_500);
        byte[] frame = Packets.GuestUdp(rig.HostMac, GuestPort, Port, payload);
        rig.Pair.Send(OpenUdpChecksum(frame, GsoType.UdpL4, 1000), frame, 12, 4096, 4096);
        rig.RunUntil(() => host.Available > 0, "datagrams for the host");
        byte[] buffer = new byte[2000];
        for (int at = 0; at < payload.Length;)
        {
            int length = host.Receive(buffer);
            Assert.Equal(Math.Min(1000, payload.Length - at), length);
            Assert.Equal(payload[at..(at + length)], buffer[..length]);
            at += length;
        }

        Assert.Equal(1, rig.Pair.TakeSent());
        Assert.Equal(0, rig.Pair.Pair.Drops.Total);
    });

    [Theory, MemberData(nameof(Formats))]
    public void The_kernel_leaves_whole_what_the_guest_takes_whole(Rings rings) => Run(() =>
    {
        bool mergeable = rings.HasFlag(Rings.Mergeable);
        using var rig = new TapRig(rings, ReceiveOffloads);
        using Socket host = TapRig.Udp(Port);
        Offer(rig.Pair, mergeable ? 200 : 20, mergeable ? 1526 : 65_562);
        SendSegmented(host, Frames.Pattern(60_000), 1000);
        Received received = rig.Take(TapRig.IsUdpTo(GuestPort));
        Assert.Equal((GsoType.UdpL4, 1000), (received.Header.GsoType, received.Header.GsoSize));
        Assert.Equal(NetHeaderFlags.NeedsCsum, received.Header.Flags);
        Assert.Equal(Frames.Pattern(60_000), received.Frame[42..]);
        Assert.Equal(mergeable ? (60_042 + 12 + 1525) / 1526 : 1, received.Header.NumBuffers);
    });

    [Theory, MemberData(nameof(Formats))]
    public void The_kernel_cuts_what_the_guest_does_not_take_whole(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings);
        using Socket host = TapRig.Udp(Port);
        Offer(rig.Pair, 200, 1526);
        SendSegmented(host, Frames.Pattern(60_000), 1000);
        for (int i = 0; i < 60; i++)
        {
            Received received = rig.Take(TapRig.IsUdpTo(GuestPort));
            Assert.Equal(NetHeader.Plain, received.Header);
            Assert.True(Packets.HasValidChecksum(received.Frame, out _));
            Assert.Equal(Frames.Pattern(60_000)[(i * 1000)..((i + 1) * 1000)], received.Frame[42..]);
        }
    });

    [Theory, InlineData(Rings.Mergeable | Rings.EventIdx), InlineData(Rings.Mergeable | Rings.Packed)]
    public void N4_a_frame_longer_than_the_buffers_at_hand_waits_for_more_and_arrives_whole(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings, ReceiveOffloads);
        using Socket host = TapRig.Udp(Port);
        Offer(rig.Pair, 3, 1526);
        SendSegmented(host, Frames.Pattern(50_000), 1000);
        for (int offered = 3; offered < 33; offered += 5)
        {
            rig.Pair.Run();
            Assert.Null(TakeIfWanted(rig));
            Assert.True(rig.Pair.ReceiveLoop.TryArm());
            Assert.Equal(-1, rig.Pair.ReceiveLoop.WakeDescriptor);
            Assert.True(Offer(rig.Pair, 5, 1526), "a queue that waits for room wants a kick");
        }

        Offer(rig.Pair, 20, 1526); // in place of buffers that the host's own chatter took
        Received received = rig.Take(TapRig.IsUdpTo(GuestPort));
        Assert.Equal(Frames.Pattern(50_000), received.Frame[42..]);
        Assert.Equal(0, rig.Pair.Pair.Drops.Total);
    });

    [Theory, InlineData(Rings.Mergeable | Rings.EventIdx), InlineData(Rings.Mergeable | Rings.Packed)]
    public void A_frame_that_waits_for_buffers_keeps_its_header_whatever_is_sent_meanwhile(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings, ReceiveOffloads | TransmitOffloads);
        using Socket host = TapRig.Udp(Port);
        Offer(rig.Pair, 3, 1526);
        SendSegmented(host, Frames.Pattern(50_000), 1000);
        byte[] open = Packets.GuestUdp(rig.HostMac, GuestPort, Port, Frames.Pattern(3000));
        NetHeader openHeader = OpenUdpChecksum(open, GsoType.UdpL4, 1200);
        for (int offered = 3; offered < 33; offered += 5)
        {
            rig.Pair.Run();
            Assert.Null(TakeIfWanted(rig));
            rig.Pair.Send(NetHeader.Plain, Packets.GuestUdp(rig.HostMac, GuestPort, Port, [1]));
            rig.Pair.Send(openHeader, open);
            Offer(rig.Pair, 5, 1526);
        }

        Offer(rig.Pair, 20, 1526); // in place of buffers that the host's own chatter took
        Received received = rig.Take(TapRig.IsUdpTo(GuestPort));
        Assert.Equal((GsoType.UdpL4, 1000), (received.Header.GsoType, received.Header.GsoSize));
        Assert.Equal((NetHeaderFlags.NeedsCsum, 34, 6), (received.Header.Flags, received.Header.CsumStart, received.Header.CsumOffset));
        Assert.Equal(Frames.Pattern(50_000), received.Frame[42..]);
        Assert.Equal(0, rig.Pair.Pair.Drops.Total);
    });

    [Theory, MemberData(nameof(Formats))]
    public void N6_without_buffers_nobody_watches_the_tap_and_with_them_frames_flow_again(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings);
        using Socket host = TapRig.Udp(Port);
        for (int i = 0; i < 2000; i++)
        {
            host.SendTo(Frames.Pattern(100, (byte)i), new IPEndPoint(TapRig.GuestAddress, GuestPort)); // more than the kernel's queue holds
        }

        rig.Pair.Run();
        Assert.True(rig.Pair.ReceiveLoop.TryArm());
        Assert.Equal(-1, rig.Pair.ReceiveLoop.WakeDescriptor);
        Assert.True(Offer(rig.Pair, 1, 1526));
        Offer(rig.Pair, 20, 1526); // the host's own chatter may come first
        Assert.Equal(Frames.Pattern(100, 0), rig.Take(TapRig.IsUdpTo(GuestPort)).Frame[42..]);

        Offer(rig.Pair, 100, 1526);
        for (int i = 0; i < 50; i++)
        {
            rig.Take(TapRig.IsUdpTo(GuestPort));
        }
    });

    [Fact]
    public void With_buffers_the_tap_wakes_the_worker() => Run(() =>
    {
        using var rig = new TapRig(Rings.EventIdx);
        using Socket host = TapRig.Udp(Port);
        Offer(rig.Pair, 64, 1526);
        rig.Pair.Run();
        Assert.True(rig.Pair.ReceiveLoop.TryArm());
        int descriptor = rig.Pair.ReceiveLoop.WakeDescriptor;
        Assert.NotEqual(-1, descriptor);
        using var epoll = new Epoll();
        epoll.Add(descriptor, 7);
        host.SendTo([1, 2, 3], new IPEndPoint(TapRig.GuestAddress, GuestPort));
        ulong[] tags = new ulong[1];
        Assert.Equal(1, epoll.Wait(tags, 5000));
        rig.Take(TapRig.IsUdpTo(GuestPort));
    });

    [Theory, InlineData(Rings.EventIdx), InlineData(Rings.Packed | Rings.Mergeable)]
    public void Flows_spread_over_the_pairs_that_are_enabled_and_over_no_other(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings, queuePairs: 2);
        using Socket host = TapRig.Udp(Port);
        foreach (PairRig pair in rig.Pairs)
        {
            Offer(pair, 250, 1526);
            pair.Run();
        }

        int[] counts = Flood(rig, host);
        Assert.True(counts[0] > 0 && counts[1] > 0, $"{counts[0]} and {counts[1]} frames");

        // The guest's own frames go out on both.
        foreach (PairRig pair in rig.Pairs)
        {
            pair.Send(NetHeader.Plain, Packets.GuestUdp(rig.HostMac, GuestPort, Port, [1]));
            rig.RunUntil(() => host.Available > 0, "a datagram for the host");
            Assert.Equal(1, host.Receive(new byte[10]));
        }

        rig.Pairs[1].ReceiveLoop.Queue.Enabled = rig.Pairs[1].TransmitLoop.Queue.Enabled = false;
        rig.Pairs[1].Run();
        Assert.Equal(-1, rig.Pairs[1].ReceiveLoop.WakeDescriptor);
        Assert.Equal([64, 0], Flood(rig, host));

        rig.Pairs[1].ReceiveLoop.Queue.Enabled = rig.Pairs[1].TransmitLoop.Queue.Enabled = true;
        rig.Pairs[1].Run();
        counts = Flood(rig, host);
        Assert.True(counts[0] > 0 && counts[1] > 0, $"{counts[0]} and {counts[1]} frames");
    });

    [Theory, MemberData(nameof(Formats))]
    public void Flows_spread_over_the_pairs_that_the_driver_asks_for_by_command(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings, more: NetFeatures.CtrlVq, queuePairs: 2);
        using var control = new ControlRig(rig.Device, rings.ToFeatures() | NetFeatures.CtrlVq | NetFeatures.Mq, arena: rig.Arena);
        using Socket host = TapRig.Udp(Port);
        Array.ForEach(rig.Pairs, pair => Offer(pair, 250, 1526));
        Assert.Equal([64, 0], Flood(rig, host));
        for (int round = 0; round < 2; round++)
        {
            Array.ForEach(rig.Pairs, pair => Offer(pair, 150, 1526));
            Assert.Equal(0, control.Send([4, 0, 2, 0]));
            int[] counts = Flood(rig, host);
            Assert.True(counts[0] > 0 && counts[1] > 0, $"{counts[0]} and {counts[1]} frames");

            // Nothing is lost with a pair that sleeps on its queue of the interface while the kernel leaves that one out, and it is woken by the next frame.
            Assert.Equal(0, control.Send([4, 0, 1, 0]));
            Assert.True(rig.Pairs[1].ReceiveLoop.TryArm());
            using var epoll = new Epoll();
            epoll.Add(rig.Pairs[1].ReceiveLoop.WakeDescriptor, 1);
            Assert.Equal([64, 0], Flood(rig, host));
            Assert.Equal(0, epoll.Wait(new ulong[1], 0));

            // What the driver sends goes out all the same.
            rig.Pairs[1].Send(NetHeader.Plain, Packets.GuestUdp(rig.HostMac, GuestPort, Port, [1]));
            rig.RunUntil(() => host.Available > 0, "a datagram for the host");
            Assert.Equal(1, host.Receive(new byte[10]));
        }
    });

    [Theory, MemberData(nameof(Formats))]
    public void Frames_go_out_as_they_are_where_only_the_transmit_queue_runs(Rings rings) => Run(() =>
    {
        using var device = new NetDevice(TapPort.Open(TapRig.Name, 1), new NetSettings());
        using var arena = new GuestArena(1 << 20);
        ulong features = rings.ToFeatures();
        DriverRingConfig ring = DriverRingConfig.Lay(arena.Table, arena.Allocate(DriverRingConfig.BytesNeeded(64, features, 0)), 64, features, 0);
        var driver = DriverQueue.Open(ring);
        using IQueueLoop loop = device.StartQueue(ring.ToQueueConfig(1), arena.Table);
        loop.Queue.Enabled = true;
        using var wire = new Socket(AddressFamily.Packet, SocketType.Raw, (ProtocolType)0xb588) { ReceiveTimeout = 5000 }; // ETH_P_802_EX1 in network order
        byte[] frame = [.. Enumerable.Repeat((byte)0xff, 6), .. Packets.GuestMac.GetAddressBytes(), 0x88, 0xb5, .. Frames.Pattern(100)];
        var buffer = new DriverBuffer(arena.Allocate(NetHeader.SizeBytes + (ulong)frame.Length), NetHeader.SizeBytes + (uint)frame.Length);
        arena.Write(buffer.Address, [.. new byte[NetHeader.SizeBytes], .. frame]);
        Assert.True(driver.Add([buffer], 1));
        driver.Publish();
        Assert.True(loop.RunBatch());
        Assert.Equal(0, device.Pairs[0].Drops.Total);
        byte[] bytes = new byte[2000];
        Assert.Equal(frame, bytes[..wire.Receive(bytes)]);
    });

    [Fact]
    public void N6_frames_that_the_kernel_does_not_take_are_dropped_and_counted() => Run(() =>
    {
        using var rig = new TapRig(Rings.Plain);
        Ip($"link set {TapRig.Name} down");
        for (int i = 0; i < 10; i++)
        {
            rig.Pair.Send(NetHeader.Plain, Frames.Pattern(64));
        }

        rig.Pair.Run();
        Assert.Equal(10, rig.Pair.TakeSent());
        Assert.Equal(10, rig.Pair.Pair.Drops[Drop.Refused]);
    });

    [Theory, InlineData(Rings.Plain), InlineData(Rings.Packed)]
    public void A_removed_interface_leaves_a_quiet_device(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings);
        Offer(rig.Pair, 10, 1526);
        rig.Pair.Run();
        Ip($"link delete {TapRig.Name}");
        rig.Pair.Send(NetHeader.Plain, Frames.Pattern(64));
        rig.Pair.Run();
        Assert.Equal(1, rig.Pair.Pair.Drops[Drop.Refused]);
        Assert.True(rig.Pair.ReceiveLoop.TryArm());
        Assert.Equal(-1, rig.Pair.ReceiveLoop.WakeDescriptor);
    });

    [Fact]
    public void The_links_MTU_follows_the_front_end_within_what_it_can_carry() => Run(() =>
    {
        using var rig = new TapRig(Rings.Plain);
        Assert.True(rig.Device.TrySetMtu(9000));
        Assert.Contains("mtu 9000", Ip($"link show {TapRig.Name}"), StringComparison.Ordinal);
        Assert.False(rig.Device.TrySetMtu(65_535)); // the kernel's limit is a little lower
        Assert.Contains("mtu 9000", Ip($"link show {TapRig.Name}"), StringComparison.Ordinal);
    });

    [Fact]
    public void An_announcement_reaches_the_network_and_not_the_guest() => Run(() =>
    {
        using var rig = new TapRig(Rings.Mergeable, queuePairs: 2);
        Offer(rig.Pair, 10, 1526);
        rig.Pair.Run();
        using var wire = new Socket(AddressFamily.Packet, SocketType.Raw, (ProtocolType)0x3580) { ReceiveTimeout = 5000 }; // ETH_P_RARP in network order
        byte[] mac = Packets.GuestMac.GetAddressBytes();
        rig.Device.AnnounceByRarp(mac);
        byte[] frame = new byte[100];
        Assert.Equal(60, wire.Receive(frame));
        Assert.Equal(RarpFrame.For(mac), frame[..60]);
    });

    [Fact]
    public void An_interface_that_is_not_what_was_asked_for_is_refused_with_advice() => Run(() =>
    {
        Ip("tuntap add pvone mode tap");
        Ip("tuntap add pvmany mode tap multi_queue");
        Assert.Contains("--queue-pairs=1", Assert.Throws<StartException>(() => TapPort.Open("pvone", 2)).Message, StringComparison.Ordinal);
        Assert.Contains("not a TAP", Assert.Throws<StartException>(() => TapPort.Open("lo", 1)).Message, StringComparison.Ordinal);
        using (var first = TapPort.Open("pvone", 1))
        {
            Assert.Contains("in use", Assert.Throws<StartException>(() => TapPort.Open("pvone", 1)).Message, StringComparison.Ordinal);
        }

        TapPort.Open("pvone", 1).Dispose();
        TapPort.Open("pvmany", 1).Dispose();
        TapPort.Open("pvmany", 4).Dispose();
        Ip("link show pvmany"); // an interface that was there stays
        TapPort.Open("pvnew", 2).Dispose();
        Assert.DoesNotContain("pvnew", Ip("link show"), StringComparison.Ordinal);
    });

    [Theory, MemberData(nameof(Formats))]
    public void Nothing_is_allocated_for_frames_of_a_tap(Rings rings) => Run(() =>
    {
        using var rig = new TapRig(rings);
        using Socket host = TapRig.Udp(Port);
        byte[] frame = Packets.GuestUdp(rig.HostMac, GuestPort, 9999, new byte[100]);
        long allocated = 0;
        for (int round = 0; round < 20; round++)
        {
            for (int i = 0; i < 50; i++)
            {
                host.SendTo(frame, new IPEndPoint(TapRig.GuestAddress, GuestPort));
                rig.Pair.Send(NetHeader.Plain, frame);
            }

            Offer(rig.Pair, 60, 1526);
            long before = GC.GetAllocatedBytesForCurrentThread();
            rig.Pair.Run();
            allocated = round < 5 ? 0 : allocated + GC.GetAllocatedBytesForCurrentThread() - before;
            rig.Pair.TakeSent();
            while (rig.Pair.Take() is not null)
            {
            }
        }

        Assert.Equal(0, allocated);
    });

    /// <summary>Datagrams of 64 flows from the host to the guest.</summary>
    /// <returns>How many came on each of two pairs.</returns>
    private static int[] Flood(TapRig rig, Socket host)
    {
        int[] received = new int[2];
        for (int flow = 0; flow < 64; flow++)
        {
            host.SendTo([1], new IPEndPoint(TapRig.GuestAddress, 20_000 + (flow * 37)));
        }

        rig.RunUntil(
            () =>
            {
                for (int pair = 0; pair < 2; pair++)
                {
                    while (rig.Pairs[pair].Take() is { } frame)
                    {
                        received[pair] += frame.Frame.Length == 43 && frame.Frame[23] == 17 ? 1 : 0;
                    }
                }

                return received.Sum() == 64;
            },
            "64 flows");
        return received;
    }

    private static bool Offer(PairRig pair, int count, int lengthBytes)
    {
        for (int i = 0; i < count && pair.Receive.Add([pair.Buffer(lengthBytes)], 0); i++)
        {
        }

        return pair.Receive.Publish();
    }

    private static Received? TakeIfWanted(TapRig rig)
    {
        while (rig.Pair.Take() is { } received)
        {
            if (TapRig.IsUdpTo(GuestPort)(received.Frame))
            {
                return received;
            }
        }

        return null;
    }

    /// <summary>Replaces the UDP checksum by the pseudo header's sum, as a driver with CSUM does.</summary>
    private static NetHeader OpenUdpChecksum(byte[] frame, GsoType type, ushort size)
    {
        byte[] pseudo = [.. frame.AsSpan(26, 8), 0, 17, frame[38], frame[39]];
        BitConverter.TryWriteBytes(frame.AsSpan(40), InternetChecksum.Sum(pseudo));
        return new NetHeader(NetHeaderFlags.NeedsCsum, type, 42, size, 34, 6, 0);
    }

    private static void SendSegmented(Socket host, byte[] payload, int segmentBytes)
    {
        host.SetRawSocketOption(17, UdpSegment, BitConverter.GetBytes(segmentBytes));
        host.SendTo(payload, new IPEndPoint(TapRig.GuestAddress, GuestPort));
    }
}
