using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>The ones' complement sum of IP, TCP and UDP (RFC 1071), in memory order: the result is stored as it comes out.</summary>
internal static class InternetChecksum
{
    /// <summary>The checksum of <paramref name="lengthBytes"/> bytes from <paramref name="offset"/> on, which must be inside.</summary>
    /// <returns>Never 0, which UDP would read as «no checksum»: the sum has two zeroes and the other one is sent.</returns>
    public static ushort Of(BufferList list, uint offset, uint lengthBytes)
    {
        uint sum = 0;
        bool odd = false;
        for (int i = 0; i < list.Count && lengthBytes != 0; i++)
        {
            GuestSlice piece = list[i];
            if (offset >= piece.LengthBytes)
            {
                offset -= piece.LengthBytes;
                continue;
            }

            uint now = Math.Min(lengthBytes, piece.LengthBytes - offset);
            ushort part = Sum(piece.AsSpan().Slice((int)offset, (int)now));
            sum += odd ? BinaryPrimitives.ReverseEndianness(part) : part;
            odd ^= (now & 1) != 0;
            lengthBytes -= now;
            offset = 0;
        }

        return Finish(sum);
    }

    /// <summary>The complement of a sum of words, ready to be stored; never 0.</summary>
    public static ushort Finish(ulong sum)
    {
        ushort checksum = (ushort)~Fold(sum);
        return checksum == 0 ? ushort.MaxValue : checksum;
    }

    /// <summary>The sum of 16-bit words, folded to one; an odd last byte counts as if a zero followed.</summary>
    public static ushort Sum(ReadOnlySpan<byte> bytes)
    {
        ulong sum = 0;
        ref byte start = ref MemoryMarshal.GetReference(bytes);
        int i = 0;
        if (bytes.Length >= Vector256<byte>.Count)
        {
            // Lanes of 64 bits take 32-bit words without a carry: 2^32 of them would be needed to overflow one.
            Vector256<ulong> lanes = Vector256<ulong>.Zero;
            for (; i <= bytes.Length - Vector256<byte>.Count; i += Vector256<byte>.Count)
            {
                (Vector256<ulong> low, Vector256<ulong> high) = Vector256.Widen(Vector256.LoadUnsafe(ref start, (nuint)i).AsUInt32());
                lanes += low + high;
            }

            sum = Vector256.Sum(lanes);
        }

        for (; i <= bytes.Length - sizeof(uint); i += sizeof(uint))
        {
            sum += BinaryPrimitives.ReadUInt32LittleEndian(bytes[i..]);
        }

        if ((bytes.Length & 2) != 0)
        {
            sum += BinaryPrimitives.ReadUInt16LittleEndian(bytes[i..]);
            i += sizeof(ushort);
        }

        return Fold(i < bytes.Length ? sum + bytes[i] : sum);
    }

    private static ushort Fold(ulong sum)
    {
        sum = (sum & uint.MaxValue) + (sum >> 32);
        sum = (sum & ushort.MaxValue) + ((sum >> 16) & ushort.MaxValue) + (sum >> 32);
        sum = (sum & ushort.MaxValue) + (sum >> 16);
        return (ushort)((sum & ushort.MaxValue) + (sum >> 16));
    }
}
