namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Where the guest's driver looks for its devices.</summary>
internal enum DriverTransport
{
    /// <summary>On the PCI bus.</summary>
    Pci,

    /// <summary>In virtio-mmio windows.</summary>
    Mmio,
}
