using System.Buffers.Binary;

namespace Paravane.Backends.Net;

/// <summary>The frames of <c>--net=source</c>: Ethernet, IPv4, UDP, an eight-byte sequence number (big-endian, from 0 on), then bytes 0, 1, 2, …</summary>
/// <remarks>All checksums are complete. Made once; a new number changes eight bytes and the UDP checksum.</remarks>
internal sealed class TestFrame
{
    /// <summary>Shortest frame: an Ethernet frame without its check sequence.</summary>
    public const int MinBytes = 60;

    /// <summary>Longest frame: an IPv4 packet knows its length in 16 bits.</summary>
    public const int MaxBytes = IpOffset + ushort.MaxValue;

    /// <summary>First byte of the sequence number.</summary>
    public const int SequenceOffset = UdpOffset + 8;

    private const int IpOffset = FrameLimits.EthernetHeaderBytes, UdpOffset = IpOffset + 20, UdpChecksumOffset = UdpOffset + 6;
    private const ushort Ipv4 = 0x0800, DiscardPort = 9;
    private const byte Udp = 17;

    private readonly byte[] _bytes;
    private readonly ulong _sum; // of everything the UDP checksum covers, sequence number left out

    /// <param name="lengthBytes">At least <see cref="MinBytes"/>, at most what an IPv4 packet carries behind an Ethernet header.</param>
    /// <param name="destination">Six bytes.</param>
    /// <param name="stream">Tells the streams of several queue pairs apart: the last byte of the source address, and the source port.</param>
    public TestFrame(int lengthBytes, ReadOnlySpan<byte> destination, byte stream)
    {
        _bytes = new byte[lengthBytes];
        destination[..6].CopyTo(_bytes);
        _bytes[6] = 2; // locally administered
        _bytes[11] = stream;
        BinaryPrimitives.WriteUInt16BigEndian(_bytes.AsSpan(12), Ipv4);
        WriteIpHeader(_bytes.AsSpan(IpOffset), lengthBytes - IpOffset, stream);

        Span<byte> udp = _bytes.AsSpan(UdpOffset);
        BinaryPrimitives.WriteUInt16BigEndian(udp, (ushort)(49152 + stream));
        BinaryPrimitives.WriteUInt16BigEndian(udp[2..], DiscardPort);
        BinaryPrimitives.WriteUInt16BigEndian(udp[4..], (ushort)udp.Length);
        for (int i = SequenceOffset + sizeof(ulong); i < lengthBytes; i++)
        {
            _bytes[i] = (byte)(i - SequenceOffset - sizeof(ulong));
        }

        // The pseudo header: both addresses, the protocol, and the UDP length a second time.
        _sum = (ulong)InternetChecksum.Sum(_bytes.AsSpan(IpOffset + 12, 8)) + InternetChecksum.Sum([0, Udp]) + InternetChecksum.Sum(udp.Slice(4, 2)) + InternetChecksum.Sum(udp);
        Sequence = 0;
    }

    /// <summary>The frame with the current number.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>The sequence number.</summary>
    public ulong Sequence
    {
        get;
        set
        {
            field = value;
            Span<byte> number = _bytes.AsSpan(SequenceOffset, sizeof(ulong));
            BinaryPrimitives.WriteUInt64BigEndian(number, value);
            BinaryPrimitives.WriteUInt16LittleEndian(_bytes.AsSpan(UdpChecksumOffset), InternetChecksum.Finish(_sum + InternetChecksum.Sum(number)));
        }
    }

    // 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
    private static void WriteIpHeader(Span<byte> header, int lengthBytes, byte stream)
    {
        header[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(header[2..], (ushort)lengthBytes);
        header[6] = 0x40; // don't fragment
        header[8] = 64;
        header[9] = Udp;
        ReadOnlySpan<byte> source = [198, 18, 0, stream], destination = [198, 19, 0, 1];
        source.CopyTo(header[12..]);
        destination.CopyTo(header[16..]);
        BinaryPrimitives.WriteUInt16LittleEndian(header[10..], InternetChecksum.Finish(InternetChecksum.Sum(header[..20])));
    }
}
