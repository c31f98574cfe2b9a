using System.Runtime.InteropServices;

namespace Paravane.Backends.Net;

/// <summary>What stands before each frame in both directions, <c>struct virtio_net_hdr_v1</c> (virtio 1.2 §5.1.6). 12 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Size = SizeBytes)]
internal readonly struct NetHeader(NetHeaderFlags flags, GsoType gsoType, ushort hdrLen, ushort gsoSize, ushort csumStart, ushort csumOffset, ushort numBuffers)
{
    /// <summary>Size in bytes with VERSION_1 or MRG_RXBUF.</summary>
    public const int SizeBytes = 12;

    /// <summary>Size in bytes of the legacy layout, which ends before <see cref="NumBuffers"/>.</summary>
    public const int LegacySizeBytes = 10;

    /// <summary>NEEDS_CSUM, DATA_VALID.</summary>
    public readonly NetHeaderFlags Flags = flags;

    /// <summary>How to cut the frame into packets.</summary>
    public readonly GsoType GsoType = gsoType;

    /// <summary>Length of all protocol headers in bytes; a hint.</summary>
    public readonly ushort HdrLen = hdrLen;

    /// <summary>Payload of each packet in bytes, where the frame is to be cut.</summary>
    public readonly ushort GsoSize = gsoSize;

    /// <summary>First byte of the frame that the checksum covers.</summary>
    public readonly ushort CsumStart = csumStart;

    /// <summary>Where the checksum stands, in bytes from <see cref="CsumStart"/> on.</summary>
    public readonly ushort CsumOffset = csumOffset;

    /// <summary>Received frames: chains that the frame fills.</summary>
    public readonly ushort NumBuffers = numBuffers;

    /// <summary>A frame that is complete as it is, in one chain.</summary>
    public static NetHeader Plain => new(NetHeaderFlags.None, GsoType.None, 0, 0, 0, 0, 1);

    /// <summary>The same with another <see cref="NumBuffers"/>.</summary>
    public NetHeader WithBuffers(int count) => new(Flags, GsoType, HdrLen, GsoSize, CsumStart, CsumOffset, (ushort)count);
}
