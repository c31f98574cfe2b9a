namespace Paravane.Backends.Net;

/// <summary>First byte of a command on the control queue (virtio 1.2 §5.1.6.5), of the classes that are served.</summary>
internal enum ControlClass : byte
{
    /// <summary><c>VIRTIO_NET_CTRL_RX</c>: PROMISC 0, ALLMULTI 1.</summary>
    Receive = 0,

    /// <summary><c>VIRTIO_NET_CTRL_MAC</c>: TABLE_SET 0, ADDR_SET 1.</summary>
    Mac = 1,

    /// <summary><c>VIRTIO_NET_CTRL_MQ</c>: VQ_PAIRS_SET 0.</summary>
    MultiQueue = 4,
}
