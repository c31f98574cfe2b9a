using System.Buffers.Binary;

namespace Paravane.Peers;

/// <summary>Reads and writes frames in libpcap's file format, version 2.4.</summary>
public static class PcapFile
{
    private const uint MagicMicroseconds = 0xA1B2_C3D4;
    private const uint MagicNanoseconds = 0xA1B2_3C4D;
    private const int FileHeaderBytes = 24;
    private const int RecordHeaderBytes = 16;
    private const int MaxFrameBytes = 65535;
    private const int LinkTypeEthernet = 1;

    /// <summary>Writes a file that holds <paramref name="frames"/> in their order.</summary>
    public static void Write(string path, IEnumerable<byte[]> frames)
    {
        using FileStream file = File.Create(path);
        byte[] header = new byte[FileHeaderBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(header, MagicMicroseconds);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(4), 2);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(6), 4);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(16), MaxFrameBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(20), LinkTypeEthernet);
        file.Write(header);

        byte[] record = new byte[RecordHeaderBytes];
        uint microseconds = 0;
        foreach (byte[] frame in frames)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(4), microseconds++);
            BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(8), (uint)frame.Length);
            BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(12), (uint)frame.Length);
            file.Write(record);
            file.Write(frame);
        }
    }

    /// <summary>Reads all frames of a file.</summary>
    public static List<byte[]> Read(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        if (bytes.Length < FileHeaderBytes || BinaryPrimitives.ReadUInt32LittleEndian(bytes) is not (MagicMicroseconds or MagicNanoseconds))
            throw new PeerException($"{path} is not a little-endian pcap file");

        List<byte[]> frames = [];
        ReadOnlySpan<byte> rest = bytes.AsSpan(FileHeaderBytes);
        while (!rest.IsEmpty)
        {
            if (rest.Length < RecordHeaderBytes)
                throw new PeerException($"{path} ends within the header of frame {frames.Count}");
            uint captured = BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]);
            rest = rest[RecordHeaderBytes..];
            if (captured > MaxFrameBytes || captured > (uint)rest.Length)
                throw new PeerException($"{path} ends within frame {frames.Count}");
            frames.Add(rest[..(int)captured].ToArray());
            rest = rest[(int)captured..];
        }

        return frames;
    }
}
