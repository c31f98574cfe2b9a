using System.Buffers.Binary;

namespace Paravane.Backends.Net;

/// <summary>The frame that tells switches where a guest has moved to: a reverse-ARP request (RFC 903) with nothing but the guest's address.</summary>
internal static class RarpFrame
{
    /// <summary>Length in bytes: a minimal Ethernet frame without its check sequence.</summary>
    public const int Bytes = 60;

    /// <summary>Makes the broadcast for <paramref name="mac"/>.</summary>
    public static byte[] For(ReadOnlySpan<byte> mac)
    {
        byte[] frame = new byte[Bytes];
        frame.AsSpan(0, MacAddress.Bytes).Fill(0xff);
        mac.CopyTo(frame.AsSpan(6));
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12), 0x8035); // reverse ARP
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(14), 1); // Ethernet
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(16), 0x0800); // IPv4
        frame[18] = MacAddress.Bytes;
        frame[19] = 4;
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(20), 3); // request
        mac.CopyTo(frame.AsSpan(22)); // sender
        mac.CopyTo(frame.AsSpan(32)); // target
        return frame;
    }
}
