using System.Runtime.InteropServices;

namespace Paravane.Backends.Net;

/// <summary>The header of drivers with neither VERSION_1 nor MRG_RXBUF, <c>struct virtio_net_hdr</c> (virtio 1.2 §5.1.6.1). 10 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = NetHeader.LegacySizeBytes)]
internal readonly struct LegacyNetHeader(NetHeader header)
{
    /// <summary>As in <see cref="NetHeader"/>.</summary>
    public readonly NetHeaderFlags Flags = header.Flags;

    /// <summary>As in <see cref="NetHeader"/>.</summary>
    public readonly GsoType GsoType = header.GsoType;

    /// <summary>As in <see cref="NetHeader"/>.</summary>
    public readonly ushort HdrLen = header.HdrLen;

    /// <summary>As in <see cref="NetHeader"/>.</summary>
    public readonly ushort GsoSize = header.GsoSize;

    /// <summary>As in <see cref="NetHeader"/>.</summary>
    public readonly ushort CsumStart = header.CsumStart;

    /// <summary>As in <see cref="NetHeader"/>.</summary>
    public readonly ushort CsumOffset = header.CsumOffset;

    /// <summary>The same in today's layout.</summary>
    public NetHeader ToCurrent() => new(Flags, GsoType, HdrLen, GsoSize, CsumStart, CsumOffset, 0);
}
