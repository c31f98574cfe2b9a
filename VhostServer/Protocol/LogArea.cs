using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>The dirty log of SET_LOG_BASE, <c>struct vhost_user_log</c>. 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
public readonly struct LogArea(ulong sizeBytes, ulong offsetBytes)
{
    /// <summary>Size of the bitmap in bytes.</summary>
    public readonly ulong SizeBytes = sizeBytes;

    /// <summary>Offset of the bitmap in the descriptor's file, in bytes.</summary>
    public readonly ulong OffsetBytes = offsetBytes;
}
