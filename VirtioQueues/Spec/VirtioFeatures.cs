namespace Paravane.VirtioQueues.Spec;

/// <summary>Feature bits of rings and transport (virtio 1.2 §6) and the two that vhost adds, as masks of the 64-bit feature word.</summary>
public static class VirtioFeatures
{
    /// <summary><c>VIRTIO_F_NOTIFY_ON_EMPTY</c>, legacy, never offered.</summary>
    public const ulong NotifyOnEmpty = 1UL << 24;

    /// <summary><c>VHOST_F_LOG_ALL</c>: the front-end wants dirty pages logged.</summary>
    public const ulong LogAll = 1UL << 26;

    /// <summary><c>VIRTIO_F_ANY_LAYOUT</c>, implied by VERSION_1.</summary>
    public const ulong AnyLayout = 1UL << 27;

    /// <summary><c>VIRTIO_F_INDIRECT_DESC</c>.</summary>
    public const ulong IndirectDesc = 1UL << 28;

    /// <summary><c>VIRTIO_F_EVENT_IDX</c>.</summary>
    public const ulong EventIdx = 1UL << 29;

    /// <summary><c>VHOST_USER_F_PROTOCOL_FEATURES</c>; never shown to the guest.</summary>
    public const ulong ProtocolFeatures = 1UL << 30;

    /// <summary><c>VIRTIO_F_VERSION_1</c>.</summary>
    public const ulong Version1 = 1UL << 32;

    /// <summary><c>VIRTIO_F_ACCESS_PLATFORM</c>: addresses are IOVAs.</summary>
    public const ulong AccessPlatform = 1UL << 33;

    /// <summary><c>VIRTIO_F_RING_PACKED</c>.</summary>
    public const ulong RingPacked = 1UL << 34;

    /// <summary><c>VIRTIO_F_IN_ORDER</c>.</summary>
    public const ulong InOrder = 1UL << 35;

    /// <summary><c>VIRTIO_F_ORDER_PLATFORM</c>.</summary>
    public const ulong OrderPlatform = 1UL << 36;

    /// <summary><c>VIRTIO_F_NOTIFICATION_DATA</c>.</summary>
    public const ulong NotificationData = 1UL << 38;

    /// <summary><c>VIRTIO_F_RING_RESET</c>.</summary>
    public const ulong RingReset = 1UL << 40;
}
