using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Boot;

/// <summary>Header of a 64-bit ELF file, <c>Elf64_Ehdr</c>. 64 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = SizeBytes)]
internal struct ElfHeader
{
    /// <summary>Size in bytes.</summary>
    public const int SizeBytes = 64;

    /// <summary><c>7F 'E' 'L' 'F'</c>.</summary>
    public const uint ExpectedMagic = 0x464C457F;

    /// <summary><c>ELFCLASS64</c>.</summary>
    public const byte Class64 = 2;

    /// <summary><c>ELFDATA2LSB</c>.</summary>
    public const byte LittleEndian = 1;

    /// <summary><c>EM_X86_64</c>.</summary>
    public const ushort MachineX64 = 62;

    /// <summary><see cref="ExpectedMagic"/>.</summary>
    public uint Magic;

    /// <summary>Word size: <see cref="Class64"/>.</summary>
    public byte Class;

    /// <summary>Byte order: <see cref="LittleEndian"/>.</summary>
    public byte Data;

    /// <summary>Rest of <c>e_ident</c>: version, ABI, padding; not looked at.</summary>
    public ushort IdentRest0;

    /// <summary>As <see cref="IdentRest0"/>.</summary>
    public ulong IdentRest1;

    /// <summary>Executable, shared, …; not looked at.</summary>
    public ushort Type;

    /// <summary>Architecture, <c>EM_…</c>.</summary>
    public ushort Machine;

    /// <summary>Not looked at.</summary>
    public uint Version;

    /// <summary>First instruction; a kernel's is a physical address.</summary>
    public ulong Entry;

    /// <summary>Offset of the program headers in the file.</summary>
    public ulong ProgramHeaders;

    /// <summary>Not looked at.</summary>
    public ulong SectionHeaders;

    /// <summary>Not looked at.</summary>
    public uint Flags;

    /// <summary>Not looked at.</summary>
    public ushort HeaderSize;

    /// <summary>Size of one program header in bytes.</summary>
    public ushort ProgramHeaderSize;

    /// <summary>Number of program headers.</summary>
    public ushort ProgramHeaderCount;

    /// <summary>Not looked at.</summary>
    public ushort SectionHeaderSize;

    /// <summary>Not looked at.</summary>
    public ushort SectionHeaderCount;

    /// <summary>Not looked at.</summary>
    public ushort SectionNames;
}
