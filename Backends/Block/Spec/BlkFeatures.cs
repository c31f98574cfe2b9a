namespace Paravane.Backends.Block.Spec;

/// <summary>Feature bits of a block device that are offered here (virtio 1.2 §5.2.3), as masks of the 64-bit feature word.</summary>
internal static class BlkFeatures
{
    /// <summary><c>VIRTIO_BLK_F_SEG_MAX</c>.</summary>
    public const ulong SegMax = 1UL << 2;

    /// <summary><c>VIRTIO_BLK_F_RO</c>.</summary>
    public const ulong ReadOnly = 1UL << 5;

    /// <summary><c>VIRTIO_BLK_F_BLK_SIZE</c>.</summary>
    public const ulong BlkSize = 1UL << 6;

    /// <summary><c>VIRTIO_BLK_F_FLUSH</c>.</summary>
    public const ulong Flush = 1UL << 9;

    /// <summary><c>VIRTIO_BLK_F_TOPOLOGY</c>.</summary>
    public const ulong Topology = 1UL << 10;

    /// <summary><c>VIRTIO_BLK_F_CONFIG_WCE</c>.</summary>
    public const ulong ConfigWce = 1UL << 11;

    /// <summary><c>VIRTIO_BLK_F_MQ</c>.</summary>
    public const ulong MultiQueue = 1UL << 12;

    /// <summary><c>VIRTIO_BLK_F_DISCARD</c>.</summary>
    public const ulong Discard = 1UL << 13;

    /// <summary><c>VIRTIO_BLK_F_WRITE_ZEROES</c>.</summary>
    public const ulong WriteZeroes = 1UL << 14;
}
