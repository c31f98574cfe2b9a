using System.Net;
using System.Net.NetworkInformation;
using PacketDotNet;

namespace Paravane.Backends.Net.Tests;

/// <summary>Frames made and judged by a packet library that knows nothing of this project.</summary>
internal static class Packets
{
    private const int EthernetBytes = 14;

    public static readonly PhysicalAddress HostMac = PhysicalAddress.Parse("020000000001"), GuestMac = PhysicalAddress.Parse("525400000002");

    /// <summary>A TCP or UDP packet whose checksum field holds the sum of the pseudo header only, and the header that says so.</summary>
    public static byte[] WithOpenChecksum(byte[] payload, bool tcp, bool v6, out NetHeader header)
    {
        EthernetPacket ethernet = Make(payload, tcp, v6, out int ipBytes);
        byte[] frame = ethernet.Bytes;
        int start = EthernetBytes + ipBytes, offset = tcp ? 16 : 6;
        int length = frame.Length - start;

        // Pseudo header: addresses, protocol, length.
        int addresses = v6 ? 32 : 8, from = v6 ? 8 : 12;
        byte[] pseudo = [.. frame.AsSpan(EthernetBytes + from, addresses), 0, tcp ? (byte)6 : (byte)17, (byte)(length >> 8), (byte)length];
        BitConverter.TryWriteBytes(frame.AsSpan(start + offset), InternetChecksum.Sum(pseudo));
        header = new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.None, 0, 0, (ushort)start, (ushort)offset, 0);
        return frame;
    }

    /// <summary>Judges the TCP or UDP checksum (and that of IPv4).</summary>
    public static bool HasValidChecksum(byte[] frame, out int payloadBytes)
    {
        Packet packet = Packet.ParsePacket(LinkLayers.Ethernet, frame);
        var transport = (TransportPacket)packet.PayloadPacket.PayloadPacket;
        payloadBytes = transport.PayloadData?.Length ?? 0;
        bool ip = packet.PayloadPacket is not IPv4Packet v4 || v4.ValidIPChecksum;
        return ip && (transport is TcpPacket tcp ? tcp.ValidTcpChecksum : ((UdpPacket)transport).ValidUdpChecksum);
    }

    /// <summary>A UDP datagram from the guest of <see cref="TapRig"/> to its host, all checksums complete.</summary>
    public static byte[] GuestUdp(byte[] hostMac, int sourcePort, int port, byte[] payload)
    {
        var udp = new UdpPacket((ushort)sourcePort, (ushort)port) { PayloadData = payload };
        var ip = new IPv4Packet(TapRig.GuestAddress, TapRig.HostAddress) { PayloadPacket = udp, TimeToLive = 64 };
        return Finish(hostMac, ip, udp);
    }

    /// <summary>An echo request from the guest of <see cref="TapRig"/> to its host.</summary>
    public static byte[] GuestPing(byte[] hostMac, byte[] payload)
    {
        byte[] icmp = [8, 0, 0, 0, 0x12, 0x34, 0, 1, .. payload];
        BitConverter.TryWriteBytes(icmp.AsSpan(2), InternetChecksum.Finish(InternetChecksum.Sum(icmp)));
        var ip = new IPv4Packet(TapRig.GuestAddress, TapRig.HostAddress) { PayloadData = icmp, Protocol = ProtocolType.Icmp, TimeToLive = 64 };
        return Finish(hostMac, ip, null);
    }

    private static byte[] Finish(byte[] hostMac, IPv4Packet ip, UdpPacket? udp)
    {
        var ethernet = new EthernetPacket(GuestMac, new PhysicalAddress(hostMac), EthernetType.IPv4) { PayloadPacket = ip };
        ethernet.UpdateCalculatedValues();
        ip.UpdateCalculatedValues();
        udp?.UpdateCalculatedValues();
        udp?.UpdateUdpChecksum();
        ip.UpdateIPChecksum();
        return ethernet.Bytes;
    }

    private static EthernetPacket Make(byte[] payload, bool tcp, bool v6, out int ipBytes)
    {
        TransportPacket transport = tcp ? new TcpPacket(1000, 2000) { Synchronize = true } : new UdpPacket(1000, 2000);
        transport.PayloadData = payload;
        IPPacket ip = v6
            ? new IPv6Packet(IPAddress.Parse("fd00::1"), IPAddress.Parse("fd00::2"))
            : new IPv4Packet(IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.2"));
        ip.PayloadPacket = transport;
        ip.Protocol = tcp ? ProtocolType.Tcp : ProtocolType.Udp;
        ipBytes = v6 ? 40 : 20;
        var ethernet = new EthernetPacket(GuestMac, HostMac, v6 ? EthernetType.IPv6 : EthernetType.IPv4) { PayloadPacket = ip };
        ethernet.UpdateCalculatedValues();
        ip.UpdateCalculatedValues();
        if (ip is IPv4Packet v4)
        {
            v4.UpdateIPChecksum();
        }

        transport.UpdateCalculatedValues();
        return ethernet;
    }
}
