using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>One region of guest memory. 32 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 32)]
public readonly struct MemoryRegion(ulong guestAddress, ulong sizeBytes, ulong userAddress, ulong mmapOffset)
{
    /// <summary>First guest physical address.</summary>
    public readonly ulong GuestAddress = guestAddress;

    /// <summary>Size in bytes.</summary>
    public readonly ulong SizeBytes = sizeBytes;

    /// <summary>The front-end's address of the first byte.</summary>
    public readonly ulong UserAddress = userAddress;

    /// <summary>Offset of the first byte in the descriptor's file, in bytes.</summary>
    public readonly ulong MmapOffset = mmapOffset;
}
