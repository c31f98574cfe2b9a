namespace Paravane.Backends.Net;

/// <summary>Flags of <see cref="NetHeader"/> (virtio 1.2 §5.1.6). Unknown bits of a transmitted frame are ignored.</summary>
[Flags]
internal enum NetHeaderFlags : byte
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><c>VIRTIO_NET_HDR_F_NEEDS_CSUM</c>: the checksum field holds the sum of the pseudo header only.</summary>
    NeedsCsum = 1,

    /// <summary><c>VIRTIO_NET_HDR_F_DATA_VALID</c>: the checksum was verified.</summary>
    DataValid = 2,

    /// <summary><c>VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM</c>: the outer checksum of a tunnel is to be completed too.</summary>
    UdpTunnelCsum = 8,
}
