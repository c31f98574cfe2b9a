using System.Buffers.Binary;
using System.IO.Compression;
using System.Runtime.InteropServices;
using K4os.Compression.LZ4;
using Paravane.Hypervisor.Boot;

namespace Paravane.Hypervisor.Tests.Boot;

/// <summary>Small kernels made in the test: an ELF file with two segments and a PVH note, and a bzImage around it.</summary>
internal static class TestKernel
{
    public const ulong Base = 0x100_0000, Entry = Base + 0x40, PvhEntry = Base + 0x80, SecondBase = 0x120_0000;
    public const int TextBytes = 0x3000, DataBytes = 0x1800, DataMemoryBytes = 0x5000;

    private const int TextAt = 0x200, NotesAt = TextAt + 0x100;

    public static byte[] Text { get; } = Pattern(TextBytes, 1);

    public static byte[] Data { get; } = Pattern(DataBytes, 2);

    public static byte[] Elf(ushort machine = 62, byte elfClass = 2, ulong entry = Entry, bool pvh = true, int noteBytes = 8)
    {
        byte[] file = new byte[TextAt + TextBytes + DataBytes];
        Text.CopyTo(file, TextAt);
        Data.CopyTo(file, TextAt + TextBytes);
        byte[] note = Note(noteBytes);
        note.CopyTo(file, NotesAt);
        note.CopyTo(Text, NotesAt - TextAt); // the notes lie inside the first segment, as a kernel's do
        var header = new ElfHeader
        {
            Magic = ElfHeader.ExpectedMagic,
            Class = elfClass,
            Data = ElfHeader.LittleEndian,
            Machine = machine,
            Entry = entry,
            ProgramHeaders = ElfHeader.SizeBytes,
            ProgramHeaderSize = ElfProgramHeader.SizeBytes,
            ProgramHeaderCount = (ushort)(pvh ? 3 : 2),
        };
        ElfProgramHeader[] programs =
        [
            new() { Type = ElfProgramHeader.Load, Offset = TextAt, PhysicalAddress = Base, FileBytes = TextBytes, MemoryBytes = TextBytes },
            new() { Type = ElfProgramHeader.Load, Offset = TextAt + TextBytes, PhysicalAddress = SecondBase, FileBytes = DataBytes, MemoryBytes = DataMemoryBytes },
            new() { Type = ElfProgramHeader.Note, Offset = NotesAt, PhysicalAddress = Base + NotesAt - TextAt, FileBytes = (ulong)note.Length, MemoryBytes = (ulong)note.Length },
        ];
        MemoryMarshal.Write(file, header);
        MemoryMarshal.AsBytes(programs.AsSpan()).CopyTo(file.AsSpan(ElfHeader.SizeBytes));
        return file;
    }

    public static byte[] BzImage(byte[] payload, Action<byte[]>? change = null)
    {
        const int SetupSectors = 7, PayloadOffset = 0x310;
        byte[] file = new byte[((SetupSectors + 1) * 512) + PayloadOffset + payload.Length];
        file.AsSpan(0, 0x1F1).Fill(0xFF); // code: none of it may come into the zero page
        file[SetupHeader.Start] = SetupSectors;
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(SetupHeader.BootFlag), SetupHeader.BootFlagValue);
        file[0x200] = 0xEB;
        file[SetupHeader.JumpDistance] = 0x6A;
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(SetupHeader.Magic), SetupHeader.MagicValue);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(SetupHeader.Version), 0x020F);
        file[SetupHeader.LoadFlags] = 1;
        file[SetupHeader.ExtendedLoadFlags] = 0x3F;
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(SetupHeader.InitrdMaxAddress), 0x7FFF_FFFF);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(SetupHeader.KernelAlignment), 0x20_0000);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(SetupHeader.CommandLineMaxBytes), 2047);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(SetupHeader.PayloadOffset), PayloadOffset);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(SetupHeader.PayloadBytes), (uint)payload.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(SetupHeader.PreferredAddress), Base);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(SetupHeader.InitBytes), 0x40_0000);
        payload.CopyTo(file, file.Length - payload.Length);
        change?.Invoke(file);
        return file;
    }

    public static byte[] Gzip(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var stream = new GZipStream(packed, CompressionLevel.Fastest))
        {
            stream.Write(bytes);
        }

        return packed.ToArray();
    }

    public static byte[] Zstd(byte[] bytes)
    {
        using var compressor = new ZstdSharp.Compressor(3);
        return WithSize([.. compressor.Wrap(bytes)], bytes.Length);
    }

    /// <summary>Legacy frames as <c>lz4 -l</c> makes them, here with small blocks so that there are several.</summary>
    public static byte[] Lz4(byte[] bytes, int blockBytes = 8 << 20)
    {
        var packed = new List<byte> { 0x02, 0x21, 0x4C, 0x18 };
        for (int at = 0; at < bytes.Length; at += blockBytes)
        {
            ReadOnlySpan<byte> block = bytes.AsSpan(at, Math.Min(blockBytes, bytes.Length - at));
            byte[] target = new byte[LZ4Codec.MaximumOutputSize(block.Length)];
            int count = LZ4Codec.Encode(block, target);
            packed.AddRange(BitConverter.GetBytes(count));
            packed.AddRange(target.AsSpan(0, count));
        }

        return WithSize([.. packed], bytes.Length);
    }

    public static byte[] WithSize(byte[] packed, int size) => [.. packed, .. BitConverter.GetBytes(size)];

    public static byte[] Pattern(int count, int seed)
    {
        byte[] bytes = new byte[count];
        for (int i = 0; i < count; i++)
        {
            bytes[i] = (byte)((i * 7) + (i >> 8) + seed);
        }

        return bytes;
    }

    private static byte[] Note(int valueBytes)
    {
        byte[] other = [4, 0, 0, 0, 2, 0, 0, 0, 6, 0, 0, 0, .. "Xen\0"u8, 1, 2, 0, 0];
        return
        [
            .. other, 4, 0, 0, 0, (byte)valueBytes, 0, 0, 0, 18, 0, 0, 0, .. "Xen\0"u8, .. BitConverter.GetBytes(PvhEntry).AsSpan(0, valueBytes),
        ];
    }
}
