using System.Net;
using CsCheck;
using PacketDotNet;

namespace Paravane.Backends.Net.Tests;

public sealed class ChecksumTests
{
    public static TheoryData<Rings> Formats => RingsExtensions.Formats;

    [Fact]
    public void The_sum_is_that_of_RFC_1071_at_every_length() =>
        Gen.Byte.Array[0, 300].Sample(bytes =>
        {
            uint expected = 0;
            for (int i = 0; i < bytes.Length; i++)
            {
                expected += (uint)(bytes[i] << (8 * (i & 1)));
                expected = (expected & 0xffff) + (expected >> 16);
            }

            ushort sum = InternetChecksum.Sum(bytes);
            Assert.Equal(expected % 0xffff, sum % 0xffffu); // both zeroes are zero
            Assert.Equal(expected == 0, sum == 0);
        });

    [Theory, MemberData(nameof(Formats))]
    public void A_checksum_left_open_is_completed_for_a_driver_that_does_not_take_it_so(Rings rings)
    {
        Gen.Select(Gen.Byte.Array[0, 1400], Gen.Bool, Gen.Bool, Gen.Int[1, 300].Array[0, 4]).Sample(
            (payload, tcp, v6, cuts) =>
            {
                using PairRig rig = PairRig.Loop(rings, NetFeatures.Csum);
                byte[] frame = Packets.WithOpenChecksum(payload, tcp, v6, out NetHeader header);
                int[] buffers = rings.HasFlag(Rings.Mergeable) ? [77, 300, 301, 400, 1526] : [1526];
                foreach (int buffer in buffers)
                {
                    rig.Offer(buffer);
                }

                rig.Send(header, frame, cuts);
                rig.Run();
                Received received = Assert.IsType<Received>(rig.Take());
                Assert.Equal(NetHeader.Plain.WithBuffers(received.Header.NumBuffers), received.Header);
                Assert.True(Packets.HasValidChecksum(received.Frame, out int payloadBytes));
                Assert.Equal(payload.Length, payloadBytes);
            },
            iter: 100);
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_checksum_left_open_stays_open_for_a_driver_that_takes_it_so(Rings rings)
    {
        using PairRig rig = PairRig.Loop(rings, NetFeatures.Csum | NetFeatures.GuestCsum);
        byte[] frame = Packets.WithOpenChecksum(new byte[100], tcp: true, v6: false, out NetHeader header);
        rig.Offer(1526);
        rig.Send(header, frame);
        rig.Run();
        Received received = Assert.IsType<Received>(rig.Take());
        Assert.Equal(frame, received.Frame);
        Assert.Equal(NetHeaderFlags.NeedsCsum, received.Header.Flags);
        Assert.Equal(header.CsumStart, received.Header.CsumStart);
        Assert.Equal(header.CsumOffset, received.Header.CsumOffset);
    }

    [Fact]
    public void A_UDP_checksum_of_zero_is_sent_as_all_ones()
    {
        // The field itself is chosen so that everything adds up to zero.
        byte[] frame = Packets.WithOpenChecksum([0, 0], tcp: false, v6: false, out NetHeader header);
        ushort sum = InternetChecksum.Sum(frame.AsSpan(header.CsumStart));
        BitConverter.TryWriteBytes(frame.AsSpan(frame.Length - 2), (ushort)~sum);
        using PairRig rig = PairRig.Loop(Rings.Plain, NetFeatures.Csum);
        rig.Offer(1526);
        rig.Send(header, frame);
        rig.Run();
        byte[] received = Assert.IsType<Received>(rig.Take()).Frame;
        Assert.Equal([0xff, 0xff], received[(header.CsumStart + header.CsumOffset)..][..2]);
    }

    [Fact]
    public void Generated_frames_are_what_a_packet_library_expects()
    {
        var frame = new TestFrame(1517, [0x52, 0x54, 0, 0x12, 0x34, 0x56], stream: 3);
        for (ulong number = 0; number < 70_000; number += 997)
        {
            frame.Sequence = number;
            Assert.True(Packets.HasValidChecksum(frame.Bytes.ToArray(), out int payloadBytes));
            Assert.Equal(1517 - 42, payloadBytes);
        }

        var ethernet = (EthernetPacket)Packet.ParsePacket(LinkLayers.Ethernet, frame.Bytes.ToArray());
        Assert.Equal("525400123456", ethernet.DestinationHardwareAddress.ToString());
        IPv4Packet ip = ethernet.Extract<IPv4Packet>();
        Assert.True(ip.ValidIPChecksum);
        Assert.Equal(IPAddress.Parse("198.18.0.3"), ip.SourceAddress);
        Assert.Equal(1517 - 14, ip.TotalLength);
        Assert.Equal(9, ethernet.Extract<UdpPacket>().DestinationPort);
    }
}
