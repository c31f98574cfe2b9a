namespace Paravane.Backends.Net;

/// <summary>How a frame is to be cut into packets: <c>gso_type</c> of <see cref="NetHeader"/> (virtio 1.2 §5.1.6).</summary>
internal enum GsoType : byte
{
    /// <summary><c>VIRTIO_NET_HDR_GSO_NONE</c>.</summary>
    None = 0,

    /// <summary><c>VIRTIO_NET_HDR_GSO_TCPV4</c>.</summary>
    TcpV4 = 1,

    /// <summary><c>VIRTIO_NET_HDR_GSO_TCPV6</c>.</summary>
    TcpV6 = 4,

    /// <summary><c>VIRTIO_NET_HDR_GSO_UDP_L4</c>: one datagram for each <c>gso_size</c> bytes.</summary>
    UdpL4 = 5,

    /// <summary><c>VIRTIO_NET_HDR_GSO_ECN</c>, or-ed to a TCP type: the first packet carries CWR.</summary>
    Ecn = 0x80,
}
