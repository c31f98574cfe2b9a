namespace Paravane.Hypervisor.Virtio;

/// <summary>The three parts of a virtqueue (virtio 1.2 §2.6), in the order of the transports' registers.</summary>
internal enum QueueArea
{
    /// <summary>Descriptor area.</summary>
    Descriptors,

    /// <summary>Driver area.</summary>
    Driver,

    /// <summary>Device area.</summary>
    Device,
}
