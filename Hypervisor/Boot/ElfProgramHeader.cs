using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Boot;

/// <summary>Program header of a 64-bit ELF file, <c>Elf64_Phdr</c>. 56 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = SizeBytes)]
internal struct ElfProgramHeader
{
    /// <summary>Size in bytes.</summary>
    public const int SizeBytes = 56;

    /// <summary><c>PT_LOAD</c>.</summary>
    public const uint Load = 1;

    /// <summary><c>PT_NOTE</c>.</summary>
    public const uint Note = 4;

    /// <summary>Kind: <see cref="Load"/>, <see cref="Note"/>, others.</summary>
    public uint Type;

    /// <summary>Not looked at.</summary>
    public uint Flags;

    /// <summary>Offset in the file.</summary>
    public ulong Offset;

    /// <summary>Not looked at; may be 0.</summary>
    public ulong VirtualAddress;

    /// <summary>Guest physical address.</summary>
    public ulong PhysicalAddress;

    /// <summary>Bytes in the file.</summary>
    public ulong FileBytes;

    /// <summary>Bytes in memory; what the file does not hold is zero.</summary>
    public ulong MemoryBytes;

    /// <summary>Not looked at.</summary>
    public ulong Alignment;
}
