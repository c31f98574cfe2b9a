using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Bench;

/// <summary>
/// Frames of the network bench: an Ethernet header with the local experimental EtherType, then sequence number, checksum, and words that follow
/// from the sequence number.
/// </summary>
/// <remarks>14 bytes of header, 2 of queue pair number, 8 of sequence, 4 of checksum over everything after the header, then the payload.</remarks>
internal static class NetFrame
{
    /// <summary>Smallest frame: an Ethernet frame without its check sequence.</summary>
    public const int MinBytes = 60;

    /// <summary>Bytes before the payload.</summary>
    private const int PayloadOffset = 28;

    private const int PairOffset = 14, SequenceOffset = 16, SumOffset = 24;
    private const ushort LocalExperimental = 0x88b5; // IEEE 802 local experimental EtherType 1
    private const ulong Golden = 0x9e37_79b9_7f4a_7c15;

    /// <summary>What is wrong with a frame.</summary>
    public enum Fault : byte
    {
        /// <summary>Nothing.</summary>
        None,

        /// <summary>Not as long as it was sent.</summary>
        Length,

        /// <summary>Header of another kind of frame, or of another queue pair.</summary>
        Header,

        /// <summary>The checksum is not that of the bytes.</summary>
        Checksum,

        /// <summary>Bytes and checksum agree with each other, but are not those of this sequence number.</summary>
        Payload,
    }

    /// <summary>Writes the parts that never change.</summary>
    public static void Begin(Span<byte> frame, int pair)
    {
        frame.Clear();
        ReadOnlySpan<byte> addresses = [0x02, 0x50, 0x56, 0, 0, 2, 0x02, 0x50, 0x56, 0, 0, 1]; // locally administered
        addresses.CopyTo(frame);
        BinaryPrimitives.WriteUInt16BigEndian(frame[12..], LocalExperimental);
        BinaryPrimitives.WriteUInt16BigEndian(frame[PairOffset..], (ushort)pair);
    }

    /// <summary>Makes a begun frame the one with number <paramref name="sequence"/>.</summary>
    public static void Write(Span<byte> frame, ulong sequence)
    {
        BinaryPrimitives.WriteUInt64BigEndian(frame[SequenceOffset..], sequence);
        Fill(frame[PayloadOffset..], sequence);
        BinaryPrimitives.WriteUInt32BigEndian(frame[SumOffset..], Sum(frame));
    }

    /// <summary>Checks all bytes of a received frame.</summary>
    public static Fault Check(ReadOnlySpan<byte> frame, int lengthBytes, int pair, out ulong sequence)
    {
        sequence = 0;
        if (frame.Length != lengthBytes)
        {
            return Fault.Length;
        }

        if (BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) != LocalExperimental || BinaryPrimitives.ReadUInt16BigEndian(frame[PairOffset..]) != pair)
        {
            return Fault.Header;
        }

        if (BinaryPrimitives.ReadUInt32BigEndian(frame[SumOffset..]) != Sum(frame))
        {
            return Fault.Checksum;
        }

        sequence = BinaryPrimitives.ReadUInt64BigEndian(frame[SequenceOffset..]);
        return IsPayloadOf(frame[PayloadOffset..], sequence) ? Fault.None : Fault.Payload;
    }

    /// <summary>Adds up pair, sequence and payload in 32-bit words; a rest at the end counts as if padded with zeros.</summary>
    private static uint Sum(ReadOnlySpan<byte> frame)
    {
        ulong sum = BinaryPrimitives.ReadUInt16BigEndian(frame[PairOffset..]) + BinaryPrimitives.ReadUInt64BigEndian(frame[SequenceOffset..]);
        ReadOnlySpan<byte> rest = frame[PayloadOffset..];
        ReadOnlySpan<uint> words = MemoryMarshal.Cast<byte, uint>(rest);
        uint place = 1;
        foreach (uint word in words)
        {
            sum += (ulong)word * place++; // weighted by place: swapped words do not cancel out
        }

        foreach (byte last in rest[(words.Length * sizeof(uint))..])
        {
            sum += (ulong)last * place++;
        }

        return (uint)(sum ^ (sum >> 32));
    }

    private static void Fill(Span<byte> payload, ulong sequence)
    {
        ulong word = First(sequence);
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(payload);
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = word;
            word += Golden;
        }

        payload[(words.Length * sizeof(ulong))..].Fill((byte)word);
    }

    private static bool IsPayloadOf(ReadOnlySpan<byte> payload, ulong sequence)
    {
        ulong word = First(sequence);
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(payload);
        foreach (ulong found in words)
        {
            if (found != word)
            {
                return false;
            }

            word += Golden;
        }

        return payload[(words.Length * sizeof(ulong))..].IndexOfAnyExcept((byte)word) < 0;
    }

    private static ulong First(ulong sequence)
    {
        ulong x = (sequence + 1) * Golden;
        x = (x ^ (x >> 30)) * 0xbf58_476d_1ce4_e5b9;
        return x ^ (x >> 27);
    }
}
