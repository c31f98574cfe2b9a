namespace Paravane.Hypervisor.Frontend;

/// <summary>Feature bits of the two device types that this front-end drives, as masks, and what tells the types apart.</summary>
/// <remarks>vhost-user has no message that names the device type. The bits overlap (virtio 1.2 §5.1.3, §5.2.3), so this is a judgement on all of them.</remarks>
internal static class DeviceFeatures
{
    /// <summary><c>VIRTIO_BLK_F_SIZE_MAX</c>.</summary>
    public const ulong BlockSizeMax = 1UL << 1;

    /// <summary><c>VIRTIO_BLK_F_RO</c>.</summary>
    public const ulong BlockReadOnly = 1UL << 5;

    /// <summary><c>VIRTIO_BLK_F_BLK_SIZE</c>.</summary>
    public const ulong BlockBlockSize = 1UL << 6;

    /// <summary><c>VIRTIO_BLK_F_FLUSH</c>.</summary>
    public const ulong BlockFlush = 1UL << 9;

    /// <summary><c>VIRTIO_BLK_F_CONFIG_WCE</c>.</summary>
    public const ulong BlockConfigWce = 1UL << 11;

    /// <summary><c>VIRTIO_BLK_F_MQ</c>.</summary>
    public const ulong BlockMultiQueue = 1UL << 12;

    /// <summary><c>VIRTIO_NET_F_MTU</c>.</summary>
    public const ulong NetMtu = 1UL << 3;

    /// <summary><c>VIRTIO_NET_F_MAC</c>.</summary>
    public const ulong NetMac = 1UL << 5;

    /// <summary><c>VIRTIO_NET_F_MRG_RXBUF</c>.</summary>
    public const ulong NetMergeable = 1UL << 15;

    /// <summary><c>VIRTIO_NET_F_STATUS</c>.</summary>
    public const ulong NetStatus = 1UL << 16;

    /// <summary><c>VIRTIO_NET_F_CTRL_VQ</c>.</summary>
    public const ulong NetControlQueue = 1UL << 17;

    /// <summary><c>VIRTIO_NET_F_GUEST_ANNOUNCE</c>.</summary>
    public const ulong NetAnnounce = 1UL << 21;

    /// <summary><c>VIRTIO_NET_F_MQ</c>.</summary>
    public const ulong NetMultiQueue = 1UL << 22;

    /// <summary>HASH_REPORT, RSS and SPEED_DUPLEX: the configuration goes on after the MTU.</summary>
    public const ulong NetLongConfig = (1UL << 57) | (1UL << 60) | (1UL << 63);

    /// <summary>What a driver can use only through the control queue (virtio 1.2 §5.1.3.1): CTRL_GUEST_OFFLOADS, CTRL_RX to CTRL_MAC_ADDR, the coalescing bits, RSS and HASH_REPORT.</summary>
    public const ulong NetNeedsControl = (1UL << 2) | NetOnly | (1UL << 52) | (1UL << 53) | (1UL << 57) | (1UL << 60);

    /// <summary><c>VIRTIO_BLK_F_GEOMETRY</c>, a bit that no network device has.</summary>
    private const ulong BlockGeometry = 1UL << 4;

    /// <summary>Bits that only a network device has: CTRL_RX to CTRL_MAC_ADDR.</summary>
    private const ulong NetOnly = 0x3fUL << 18;

    /// <summary>True when <paramref name="features"/> are those of a network device.</summary>
    public static bool LooksLikeNet(ulong features) =>
        (features & NetOnly) != 0 || ((features & NetMergeable) != 0 && (features & BlockBlockSize) == 0);

    /// <summary>True when <paramref name="features"/> are those of a block device: bits that no network device of virtio 1 has, and none of a network device.</summary>
    public static bool LooksLikeBlock(ulong features) => (features & (BlockBlockSize | BlockGeometry)) != 0 && !LooksLikeNet(features);
}
