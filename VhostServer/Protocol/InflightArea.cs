using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>The record of requests in flight, <c>struct vhost_user_inflight</c>. 24 bytes with its tail padding, which every implementation sends.</summary>
[StructLayout(LayoutKind.Sequential, Size = 24)]
public readonly struct InflightArea(ulong sizeBytes, ulong offsetBytes, ushort queueCount, ushort queueSize)
{
    /// <summary>Payload without the padding, which some implementations leave out.</summary>
    public const int UnpaddedBytes = 20;

    /// <summary>Size of the record in bytes; 0 in a reply: there is none.</summary>
    public readonly ulong SizeBytes = sizeBytes;

    /// <summary>Offset of the record in the descriptor's file, in bytes.</summary>
    public readonly ulong OffsetBytes = offsetBytes;

    /// <summary>Number of queues.</summary>
    public readonly ushort QueueCount = queueCount;

    /// <summary>Queue size in descriptors, the same for all.</summary>
    public readonly ushort QueueSize = queueSize;

    /// <summary>Not used.</summary>
    public readonly uint Padding;
}
