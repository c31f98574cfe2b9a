namespace Paravane.Hypervisor.Machine;

/// <summary>How the guest reaches its virtio devices.</summary>
internal enum Transport
{
    /// <summary>virtio-pci with MSI-X; devices can come and go.</summary>
    Pci,

    /// <summary>virtio-mmio windows, announced by ACPI: the simplest.</summary>
    Mmio,
}
