namespace Paravane.Hypervisor.Virtio;

/// <summary><c>cfg_type</c> of a virtio capability in PCI configuration space (virtio 1.2 §4.1.4).</summary>
internal enum VirtioCapability : byte
{
    /// <summary><c>VIRTIO_PCI_CAP_COMMON_CFG</c>.</summary>
    Common = 1,

    /// <summary><c>VIRTIO_PCI_CAP_NOTIFY_CFG</c>.</summary>
    Notify = 2,

    /// <summary><c>VIRTIO_PCI_CAP_ISR_CFG</c>.</summary>
    Isr = 3,

    /// <summary><c>VIRTIO_PCI_CAP_DEVICE_CFG</c>.</summary>
    Device = 4,

    /// <summary><c>VIRTIO_PCI_CAP_PCI_CFG</c>: a window into the BAR for those who cannot map it.</summary>
    Window = 5,
}
