namespace Paravane.Hypervisor.Pci;

/// <summary>00:00.0: guests take its presence for proof that configuration accesses work.</summary>
internal sealed class HostBridge : PciFunction
{
    /// <summary>Vendor and device id of a bridge in virtual machines, to which no driver binds.</summary>
    private const ushort VendorId = 0x1B36, DeviceId = 0x0008;

    private const uint BridgeClass = 0x060000;

    /// <summary>Makes the bridge.</summary>
    public HostBridge()
        : base("pci host bridge", VendorId, DeviceId, BridgeClass, revision: 0)
    {
    }
}
