using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Boot;

/// <summary>A module of a PVH start, <c>struct hvm_modlist_entry</c>: the initrd. 32 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = SizeBytes)]
internal readonly struct PvhModule(ulong address, ulong lengthBytes)
{
    /// <summary>Size in bytes.</summary>
    public const int SizeBytes = 32;

    /// <summary>First address.</summary>
    public readonly ulong Address = address;

    /// <summary>Length in bytes.</summary>
    public readonly ulong LengthBytes = lengthBytes;

    /// <summary>Address of a command line of its own: none.</summary>
    public readonly ulong CommandLine = 0;

    /// <summary>0.</summary>
    public readonly ulong Reserved = 0;
}
