using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Boot;

namespace Paravane.Hypervisor.Tests.Boot;

public sealed class BootLayoutTests
{
    [Fact]
    public void Elf_headers_are_laid_out_as_the_format_says()
    {
        Assert.Equal(64, Unsafe.SizeOf<ElfHeader>());
        Assert.Equal(
            [0, 4, 5, 6, 8, 16, 18, 20, 24, 32, 40, 48, 52, 54, 56, 58, 60, 62],
            Offsets<ElfHeader>(
                "Magic", "Class", "Data", "IdentRest0", "IdentRest1", "Type", "Machine", "Version", "Entry", "ProgramHeaders", "SectionHeaders", "Flags", "HeaderSize",
                "ProgramHeaderSize", "ProgramHeaderCount", "SectionHeaderSize", "SectionHeaderCount", "SectionNames"));
        Assert.Equal(56, Unsafe.SizeOf<ElfProgramHeader>());
        Assert.Equal(
            [0, 4, 8, 16, 24, 32, 40, 48],
            Offsets<ElfProgramHeader>("Type", "Flags", "Offset", "VirtualAddress", "PhysicalAddress", "FileBytes", "MemoryBytes", "Alignment"));
    }

    [Fact]
    public void Boot_parameters_are_laid_out_as_the_protocols_say()
    {
        Assert.Equal(20, Unsafe.SizeOf<E820Entry>());
        Assert.Equal([0, 8, 16], Offsets<E820Entry>("Address", "LengthBytes", "Type"));
        Assert.Equal(56, Unsafe.SizeOf<PvhStartInfo>());
        Assert.Equal(
            [0, 4, 8, 12, 16, 24, 32, 40, 48, 52],
            Offsets<PvhStartInfo>("Magic", "Version", "Flags", "ModuleCount", "Modules", "CommandLine", "Rsdp", "MemoryMap", "MemoryMapCount", "Reserved"));
        Assert.Equal(32, Unsafe.SizeOf<PvhModule>());
        Assert.Equal([0, 8, 16, 24], Offsets<PvhModule>("Address", "LengthBytes", "CommandLine", "Reserved"));
        Assert.Equal(24, Unsafe.SizeOf<PvhMemoryRange>());
        Assert.Equal([0, 8, 16, 20], Offsets<PvhMemoryRange>("Address", "LengthBytes", "Type", "Reserved"));
    }

    private static IEnumerable<int> Offsets<T>(params string[] fields)
        where T : struct => fields.Select(field => (int)Marshal.OffsetOf<T>(field));
}
