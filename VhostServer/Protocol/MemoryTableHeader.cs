using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>In front of the regions of SET_MEM_TABLE. 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 8)]
public readonly struct MemoryTableHeader(uint count)
{
    /// <summary>Number of regions that follow.</summary>
    public readonly uint Count = count;

    /// <summary>Not used.</summary>
    public readonly uint Padding;
}
