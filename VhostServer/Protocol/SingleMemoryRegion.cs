using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>Payload of ADD_MEM_REG and REM_MEM_REG. 40 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 40)]
public readonly struct SingleMemoryRegion(MemoryRegion region)
{
    /// <summary>Not used.</summary>
    public readonly ulong Padding;

    /// <summary>The region.</summary>
    public readonly MemoryRegion Region = region;
}
