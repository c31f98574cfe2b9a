namespace Paravane.Backends.Net;

/// <summary>Feature bits of network devices (virtio 1.2 §5.1.3), as masks of the 64-bit feature word.</summary>
internal static class NetFeatures
{
    /// <summary><c>VIRTIO_NET_F_CSUM</c>: the device completes checksums of transmitted frames.</summary>
    public const ulong Csum = 1UL << 0;

    /// <summary><c>VIRTIO_NET_F_GUEST_CSUM</c>: the driver takes received frames with a checksum still to complete.</summary>
    public const ulong GuestCsum = 1UL << 1;

    /// <summary><c>VIRTIO_NET_F_MTU</c>: the config space names the largest packet.</summary>
    public const ulong Mtu = 1UL << 3;

    /// <summary><c>VIRTIO_NET_F_MAC</c>: the config space names the address.</summary>
    public const ulong Mac = 1UL << 5;

    /// <summary><c>VIRTIO_NET_F_GUEST_TSO4</c>.</summary>
    public const ulong GuestTso4 = 1UL << 7;

    /// <summary><c>VIRTIO_NET_F_GUEST_TSO6</c>.</summary>
    public const ulong GuestTso6 = 1UL << 8;

    /// <summary><c>VIRTIO_NET_F_GUEST_ECN</c>.</summary>
    public const ulong GuestEcn = 1UL << 9;

    /// <summary><c>VIRTIO_NET_F_HOST_TSO4</c>.</summary>
    public const ulong HostTso4 = 1UL << 11;

    /// <summary><c>VIRTIO_NET_F_HOST_TSO6</c>.</summary>
    public const ulong HostTso6 = 1UL << 12;

    /// <summary><c>VIRTIO_NET_F_HOST_ECN</c>.</summary>
    public const ulong HostEcn = 1UL << 13;

    /// <summary><c>VIRTIO_NET_F_MRG_RXBUF</c>: a received frame may fill several buffers.</summary>
    public const ulong MrgRxBuf = 1UL << 15;

    /// <summary><c>VIRTIO_NET_F_STATUS</c>: the config space tells whether the link is up.</summary>
    public const ulong Status = 1UL << 16;

    /// <summary><c>VIRTIO_NET_F_CTRL_VQ</c>: a control queue.</summary>
    public const ulong CtrlVq = 1UL << 17;

    /// <summary><c>VIRTIO_NET_F_CTRL_RX</c>: commands that say which frames the driver wants.</summary>
    public const ulong CtrlRx = 1UL << 18;

    /// <summary><c>VIRTIO_NET_F_MQ</c>: several queue pairs.</summary>
    public const ulong Mq = 1UL << 22;

    /// <summary><c>VIRTIO_NET_F_CTRL_MAC_ADDR</c>: a command that sets the address.</summary>
    public const ulong CtrlMacAddr = 1UL << 23;

    /// <summary><c>VIRTIO_NET_F_GUEST_USO4</c>.</summary>
    public const ulong GuestUso4 = 1UL << 54;

    /// <summary><c>VIRTIO_NET_F_GUEST_USO6</c>.</summary>
    public const ulong GuestUso6 = 1UL << 55;

    /// <summary><c>VIRTIO_NET_F_HOST_USO</c>.</summary>
    public const ulong HostUso = 1UL << 56;

    /// <summary>Every bit that lets a driver transmit frames larger than a packet.</summary>
    public const ulong HostSegmentation = HostTso4 | HostTso6 | HostEcn | HostUso;

    /// <summary>Every bit that lets a driver receive frames larger than a packet.</summary>
    public const ulong GuestSegmentation = GuestTso4 | GuestTso6 | GuestEcn | GuestUso4 | GuestUso6;

    /// <summary>The bits without those that lack what they require (virtio 1.2 §5.1.3.1), which count as not negotiated.</summary>
    /// <remarks>
    /// They are no reason to refuse the rest: a front-end that was told <c>csum=off</c> takes away that bit only, and drivers accept the others (QEMU, Linux).
    /// Nothing is held to its control queue: front-ends serve that queue themselves and pass MQ, CTRL_RX or CTRL_MAC_ADDR on without CTRL_VQ (QEMU's
    /// vhost-user network device and DPDK's virtio-user port both do).
    /// </remarks>
    public static ulong Usable(ulong features)
    {
        features = Without(features, GuestSegmentation, GuestCsum);
        features = Without(features, GuestEcn, GuestTso4 | GuestTso6);
        features = Without(features, HostSegmentation, Csum);
        return Without(features, HostEcn, HostTso4 | HostTso6);
    }

    private static ulong Without(ulong features, ulong bits, ulong needOneOf) => (features & needOneOf) == 0 ? features & ~bits : features;
}
