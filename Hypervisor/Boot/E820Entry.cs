using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Boot;

/// <summary>A range of the guest's physical address space in the zero page, <c>struct boot_e820_entry</c>. 20 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = SizeBytes)]
internal readonly struct E820Entry(ulong address, ulong lengthBytes, E820Type type)
{
    /// <summary>Size in bytes.</summary>
    public const int SizeBytes = 20;

    /// <summary>First address.</summary>
    public readonly ulong Address = address;

    /// <summary>Length in bytes.</summary>
    public readonly ulong LengthBytes = lengthBytes;

    /// <summary>RAM or not.</summary>
    public readonly E820Type Type = type;
}
