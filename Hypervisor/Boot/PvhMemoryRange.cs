using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Boot;

/// <summary>An entry of PVH's memory map, <c>struct hvm_memmap_table_entry</c>. 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = SizeBytes)]
internal readonly struct PvhMemoryRange(ulong address, ulong lengthBytes, E820Type type)
{
    /// <summary>Size in bytes.</summary>
    public const int SizeBytes = 24;

    /// <summary>First address.</summary>
    public readonly ulong Address = address;

    /// <summary>Length in bytes.</summary>
    public readonly ulong LengthBytes = lengthBytes;

    /// <summary>RAM or not.</summary>
    public readonly E820Type Type = type;

    /// <summary>0.</summary>
    public readonly uint Reserved = 0;
}
