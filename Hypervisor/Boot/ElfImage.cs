using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Memory;

namespace Paravane.Hypervisor.Boot;

/// <summary>A 64-bit x86 ELF kernel: where its segments go and where it can be entered. Everything in it is checked here, once.</summary>
/// <remarks>One thread. A value that was parsed stays good: it holds copies, and what is copied to the guest later is bounded by them.</remarks>
internal sealed class ElfImage
{
    /// <summary>Program headers that are accepted: a kernel has half a dozen.</summary>
    private const int MaxProgramHeaders = 128;

    /// <summary>Bytes of a note segment that are searched.</summary>
    private const int MaxNoteBytes = 64 << 10;

    private const uint PvhNoteType = 18; // XEN_ELFNOTE_PHYS32_ENTRY

    private readonly IByteSource _source;
    private readonly ElfProgramHeader[] _segments;

    private ElfImage(IByteSource source, ElfProgramHeader[] segments, ulong start, ulong? entry, ulong? pvhEntry)
    {
        _source = source;
        _segments = segments;
        Entry = entry;
        PvhEntry = pvhEntry;
        Start = start;
        End = segments.Max(segment => segment.PhysicalAddress + segment.MemoryBytes);
    }

    /// <summary>64-bit entry point, inside a segment; null when the file names none.</summary>
    public ulong? Entry { get; }

    /// <summary>32-bit PVH entry point, inside a segment; null without such a note.</summary>
    public ulong? PvhEntry { get; }

    /// <summary>Lowest guest physical address of a segment.</summary>
    public ulong Start { get; }

    /// <summary>End of the highest segment.</summary>
    public ulong End { get; }

    /// <summary>True when <paramref name="first"/> begins an ELF file.</summary>
    public static bool IsElf(ReadOnlySpan<byte> first) =>
        first.Length >= sizeof(uint) && BinaryPrimitives.ReadUInt32LittleEndian(first) == ElfHeader.ExpectedMagic;

    /// <summary>Parses <paramref name="source"/>, which stays in use for <see cref="Load"/>.</summary>
    /// <exception cref="BootException">It is no kernel of this architecture, or it is damaged.</exception>
    public static ElfImage Parse(IByteSource source)
    {
        ElfHeader header = ReadHeader(source);
        var all = new ElfProgramHeader[header.ProgramHeaderCount];
        source.Read(header.ProgramHeaders, MemoryMarshal.AsBytes(all.AsSpan()));

        ElfProgramHeader[] segments = [.. all.Where(item => item.Type == ElfProgramHeader.Load && item.MemoryBytes > 0)];
        if (segments.Length == 0)
        {
            throw new BootException($"{source.Name} has no segment to load");
        }

        foreach (ElfProgramHeader segment in segments)
        {
            CheckSegment(source, segment);
        }

        ulong start = segments.Min(segment => segment.PhysicalAddress);
        if (start < AddressMap.HighMemory)
        {
            throw new BootException($"{source.Name} wants to be loaded at 0x{start:x}, below 0x{AddressMap.HighMemory:x}, where the machine keeps its own tables");
        }

        ulong? pvh = null;
        foreach (ElfProgramHeader note in all.Where(item => item.Type == ElfProgramHeader.Note))
        {
            pvh ??= FindPvhEntry(source, note);
        }

        bool IsInside(ulong address) => segments.Any(segment => address - segment.PhysicalAddress < segment.MemoryBytes);
        return new ElfImage(
            source,
            segments,
            start,
            IsInside(header.Entry) ? header.Entry : null,
            pvh is ulong entry && entry <= uint.MaxValue && IsInside(entry) ? entry : null);
    }

    /// <summary>Copies the segments to their places and zeroes what the file does not hold.</summary>
    /// <param name="loader">Guest memory.</param>
    /// <param name="lowMemoryEnd">End of the RAM below 4 GiB.</param>
    /// <exception cref="BootException">A segment lies outside of RAM, or the file fails.</exception>
    public void Load(GuestLoader loader, ulong lowMemoryEnd)
    {
        if (End > lowMemoryEnd)
        {
            throw new BootException(
                $"{_source.Name} is larger than the guest's memory: it needs the addresses 0x{Start:x} to 0x{End:x}, and RAM ends at 0x{lowMemoryEnd:x}");
        }

        foreach (ElfProgramHeader segment in _segments)
        {
            loader.Copy(_source, segment.Offset, segment.FileBytes, segment.PhysicalAddress);
            loader.Clear(segment.PhysicalAddress + segment.FileBytes, segment.MemoryBytes - segment.FileBytes);
        }
    }

    private static ElfHeader ReadHeader(IByteSource source)
    {
        if (source.LengthBytes < ElfHeader.SizeBytes)
        {
            throw new BootException($"{source.Name} is cut off: {source.LengthBytes} bytes are less than an ELF header");
        }

        ElfHeader header = default;
        source.Read(0, MemoryMarshal.AsBytes(new Span<ElfHeader>(ref header)));
        if (header.Magic != ElfHeader.ExpectedMagic)
        {
            throw new BootException($"{source.Name}: the kernel inside is not an ELF file (first bytes 0x{BinaryPrimitives.ReverseEndianness(header.Magic):X8})");
        }

        if (header.Class != ElfHeader.Class64 || header.Data != ElfHeader.LittleEndian || header.Machine != ElfHeader.MachineX64)
        {
            int bits = header.Class == ElfHeader.Class64 ? 64 : 32;
            ushort machine = header.Data == ElfHeader.LittleEndian ? header.Machine : BinaryPrimitives.ReverseEndianness(header.Machine);
            throw new BootException($"{source.Name} is for another architecture: {bits}-bit {NameOfMachine(machine)}; x86-64 is needed");
        }

        if (header.ProgramHeaderSize != ElfProgramHeader.SizeBytes || header.ProgramHeaderCount is 0 or > MaxProgramHeaders)
        {
            throw new BootException(
                $"{source.Name} is no kernel: {header.ProgramHeaderCount} program headers of {header.ProgramHeaderSize} bytes; "
                + $"1 to {MaxProgramHeaders} of {ElfProgramHeader.SizeBytes} are right");
        }

        return header;
    }

    private static void CheckSegment(IByteSource source, in ElfProgramHeader segment)
    {
        if (segment.FileBytes > segment.MemoryBytes)
        {
            throw new BootException($"{source.Name} is damaged: a segment has 0x{segment.FileBytes:x} bytes in the file but only 0x{segment.MemoryBytes:x} in memory");
        }

        if (segment.Offset > source.LengthBytes || segment.FileBytes > source.LengthBytes - segment.Offset)
        {
            throw new BootException(
                $"{source.Name} is cut off: a segment of 0x{segment.FileBytes:x} bytes at 0x{segment.Offset:x} goes beyond its end, 0x{source.LengthBytes:x}");
        }

        if (segment.MemoryBytes > ulong.MaxValue - segment.PhysicalAddress)
        {
            throw new BootException($"{source.Name} is damaged: a segment of 0x{segment.MemoryBytes:x} bytes at 0x{segment.PhysicalAddress:x} wraps the address space");
        }
    }

    /// <summary>Looks for the note "Xen" of type 18: u32 name length, u32 value length, u32 type, name, value, both padded to four bytes.</summary>
    private static ulong? FindPvhEntry(IByteSource source, in ElfProgramHeader segment)
    {
        if (segment.Offset > source.LengthBytes || segment.FileBytes > source.LengthBytes - segment.Offset)
        {
            throw new BootException($"{source.Name} is cut off: its notes at 0x{segment.Offset:x} go beyond its end, 0x{source.LengthBytes:x}");
        }

        byte[] bytes = new byte[Math.Min(segment.FileBytes, MaxNoteBytes)];
        source.Read(segment.Offset, bytes);
        const int Fixed = 3 * sizeof(uint);
        for (ReadOnlySpan<byte> rest = bytes; rest.Length >= Fixed;)
        {
            uint nameBytes = BinaryPrimitives.ReadUInt32LittleEndian(rest);
            uint valueBytes = BinaryPrimitives.ReadUInt32LittleEndian(rest[4..]);
            uint type = BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]);
            ulong valueAt = Fixed + Padded(nameBytes);
            ulong next = valueAt + Padded(valueBytes);
            if (valueAt + valueBytes > (ulong)rest.Length)
            {
                return null;
            }

            ReadOnlySpan<byte> value = rest.Slice((int)valueAt, (int)valueBytes);
            if (type == PvhNoteType && rest.Slice(Fixed, (int)nameBytes).SequenceEqual("Xen\0"u8) && value.Length is sizeof(uint) or sizeof(ulong))
            {
                return value.Length == sizeof(uint) ? BinaryPrimitives.ReadUInt32LittleEndian(value) : BinaryPrimitives.ReadUInt64LittleEndian(value);
            }

            rest = next < (ulong)rest.Length ? rest[(int)next..] : [];
        }

        return null;
    }

    private static ulong Padded(uint lengthBytes) => ((ulong)lengthBytes + 3) & ~3UL;

    private static string NameOfMachine(ushort machine) => machine switch
    {
        3 => "i386",
        8 => "mips",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390x",
        40 => "arm",
        ElfHeader.MachineX64 => "x86-64",
        183 => "aarch64",
        243 => "riscv",
        258 => "loongarch",
        _ => $"machine {machine}",
    };
}
