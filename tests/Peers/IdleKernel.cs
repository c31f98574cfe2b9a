using System.Buffers.Binary;

namespace Paravane.Peers;

/// <summary>The smallest kernel that <c>paravane run</c> boots: switches its local APIC off, says one letter on the serial port and halts for good.</summary>
public static class IdleKernel
{
    private const ulong LoadAddress = 0x100_0000;
    private const ushort HeaderBytes = 64, ProgramHeaderBytes = 56;

    private static ReadOnlySpan<byte> Code =>
    [
        0xB9, 0x1B, 0x00, 0x00, 0x00, 0x0F, 0x32,           // mov ecx, IA32_APIC_BASE; rdmsr
        0x0F, 0xBA, 0xF0, 0x0B, 0x0F, 0x30,                 // btr eax, 11; wrmsr
        0x66, 0xBA, 0xF8, 0x03, 0xB0, (byte)'x', 0xEE,      // mov dx, 0x3F8; mov al, 'x'; out dx, al
        0xFA, 0xF4, 0xEB, 0xFC,                             // cli; hlt; jmp to cli
    ];

    /// <summary>The file: ELF with a 64-bit entry and one segment.</summary>
    public static byte[] Make()
    {
        byte[] file = new byte[HeaderBytes + ProgramHeaderBytes + Code.Length];
        "\u007fELF\u0002\u0001\u0001"u8.CopyTo(file);
        Put16(0x10, 2);                        // an executable
        Put16(0x12, 62);                       // for x86-64
        Put32(0x14, 1);
        Put64(0x18, LoadAddress);              // its entry
        Put64(0x20, HeaderBytes);              // where the program headers are
        Put16(0x34, HeaderBytes);
        Put16(0x36, ProgramHeaderBytes);
        Put16(0x38, 1);
        Span<byte> program = file.AsSpan(HeaderBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(program, 1);            // to be loaded
        BinaryPrimitives.WriteUInt32LittleEndian(program[0x04..], 5);    // to be read and executed
        BinaryPrimitives.WriteUInt64LittleEndian(program[0x08..], HeaderBytes + ProgramHeaderBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(program[0x10..], LoadAddress);
        BinaryPrimitives.WriteUInt64LittleEndian(program[0x18..], LoadAddress);
        BinaryPrimitives.WriteUInt64LittleEndian(program[0x20..], (ulong)Code.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(program[0x28..], (ulong)Code.Length);
        Code.CopyTo(program[ProgramHeaderBytes..]);
        return file;

        void Put16(int at, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(at), value);
        void Put32(int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at), value);
        void Put64(int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(at), value);
    }
}
