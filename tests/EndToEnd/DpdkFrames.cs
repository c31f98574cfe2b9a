using System.Buffers.Binary;

namespace Paravane.EndToEnd;

/// <summary>Ethernet frames of which no two are alike: each carries its number and bytes that follow from a seed.</summary>
internal static class DpdkFrames
{
    private const int EthernetHeaderBytes = 14;
    private const int MinFrameBytes = 60;
    private const ushort LocalExperimentalEtherType = 0x88B5;

    /// <summary>Frames of one length.</summary>
    public static List<byte[]> OfLength(int count, int lengthBytes) => Make(count, _ => lengthBytes);

    /// <summary>Frames of all lengths up to <paramref name="maxLengthBytes"/>, in no order.</summary>
    public static List<byte[]> OfAnyLength(int count, int maxLengthBytes) => Make(count, random => random.Next(MinFrameBytes, maxLengthBytes + 1));

    private static List<byte[]> Make(int count, Func<Random, int> length)
    {
        var random = new Random(20260);
        List<byte[]> frames = new(count);
        for (uint number = 0; number < count; number++)
        {
            byte[] frame = new byte[length(random)];
            random.NextBytes(frame);
            frame[0] = 0x02;                                                            // locally administered, to one receiver
            frame[6] = 0x02;
            BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12), LocalExperimentalEtherType);
            BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(EthernetHeaderBytes), number);
            frames.Add(frame);
        }

        return frames;
    }
}
