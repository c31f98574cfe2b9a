using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Boot;

/// <summary>What a PVH kernel finds through RBX, <c>struct hvm_start_info</c> version 1. 56 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = SizeBytes)]
internal struct PvhStartInfo
{
    /// <summary>Size in bytes.</summary>
    public const int SizeBytes = 56;

    /// <summary>Value of <see cref="Magic"/>.</summary>
    public const uint MagicValue = 0x336E_C578;

    /// <summary><see cref="MagicValue"/>.</summary>
    public uint Magic;

    /// <summary>1: the memory map is there.</summary>
    public uint Version;

    /// <summary>0.</summary>
    public uint Flags;

    /// <summary>Number of modules.</summary>
    public uint ModuleCount;

    /// <summary>Address of the modules (<see cref="PvhModule"/>).</summary>
    public ulong Modules;

    /// <summary>Address of the command line.</summary>
    public ulong CommandLine;

    /// <summary>Address of the RSDP.</summary>
    public ulong Rsdp;

    /// <summary>Address of the memory map (<see cref="PvhMemoryRange"/>).</summary>
    public ulong MemoryMap;

    /// <summary>Entries of the memory map.</summary>
    public uint MemoryMapCount;

    /// <summary>0.</summary>
    public uint Reserved;
}
