using System.Buffers.Binary;

namespace Paravane.Benchmarks;

/// <summary>The smallest kernel: an ELF file of one segment whose code halts for ever.</summary>
internal static class HaltKernel
{
    private const ulong Base = 0x100_0000;
    private const int HeaderBytes = 64, ProgramHeaderBytes = 56, CodeAt = 0x1000;

    private static readonly byte[] s_code = [0xFA, 0xF4, 0xEB, 0xFD]; // cli; hlt; back to hlt

    /// <summary>Writes it into a file.</summary>
    public static void Write(string path)
    {
        byte[] file = new byte[CodeAt + s_code.Length];
        Span<byte> header = file;
        byte[] identification = [0x7F, .. "ELF"u8, 2, 1, 1]; // 64 bits, little-endian, version 1
        identification.CopyTo(header);
        BinaryPrimitives.WriteUInt16LittleEndian(header[16..], 2); // ET_EXEC
        BinaryPrimitives.WriteUInt16LittleEndian(header[18..], 62); // EM_X86_64
        BinaryPrimitives.WriteUInt32LittleEndian(header[20..], 1);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], Base); // entry
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], HeaderBytes); // program headers
        BinaryPrimitives.WriteUInt16LittleEndian(header[52..], HeaderBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(header[54..], ProgramHeaderBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(header[56..], 1);
        Span<byte> segment = header[HeaderBytes..];
        BinaryPrimitives.WriteUInt32LittleEndian(segment, 1); // PT_LOAD
        BinaryPrimitives.WriteUInt32LittleEndian(segment[4..], 5); // readable, executable
        BinaryPrimitives.WriteUInt64LittleEndian(segment[8..], CodeAt);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[16..], Base);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[24..], Base);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[32..], (ulong)s_code.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[40..], (ulong)s_code.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[48..], CodeAt);
        s_code.CopyTo(file, CodeAt);
        File.WriteAllBytes(path, file);
    }
}
