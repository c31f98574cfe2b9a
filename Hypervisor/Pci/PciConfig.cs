namespace Paravane.Hypervisor.Pci;

/// <summary>Offsets and bits of a type 0 configuration header (PCI 3.0 §6.1).</summary>
internal static class PciConfig
{
    /// <summary>Bytes of conventional configuration space.</summary>
    public const int SizeBytes = 256;

    /// <summary>Bytes that ECAM shows of each function; what lies behind the conventional part reads as zero, which means: no extended capability.</summary>
    public const int ExtendedSizeBytes = 4096;

    /// <summary>Vendor id, u16.</summary>
    public const int Vendor = 0x00;

    /// <summary>Device id, u16.</summary>
    public const int Device = 0x02;

    /// <summary>Command, u16.</summary>
    public const int Command = 0x04;

    /// <summary>Status, u16.</summary>
    public const int Status = 0x06;

    /// <summary>Revision, u8.</summary>
    public const int Revision = 0x08;

    /// <summary>First of six BARs, u32 each.</summary>
    public const int Bar0 = 0x10;

    /// <summary>First offset behind the BARs.</summary>
    public const int BarEnd = 0x28;

    /// <summary>Subsystem vendor id, u16.</summary>
    public const int SubsystemVendor = 0x2C;

    /// <summary>Subsystem id, u16.</summary>
    public const int Subsystem = 0x2E;

    /// <summary>First capability, u8.</summary>
    public const int CapabilityPointer = 0x34;

    /// <summary>Interrupt line, u8: the guest's note to itself.</summary>
    public const int InterruptLine = 0x3C;

    /// <summary>Interrupt pin, u8: 0 none, 1 INTA.</summary>
    public const int InterruptPin = 0x3D;

    /// <summary>First offset behind the header.</summary>
    public const int HeaderEnd = 0x40;

    /// <summary>Command: answers memory accesses.</summary>
    public const ushort CommandMemory = 1 << 1;

    /// <summary>Command: may be bus master. Kept, without effect: the back-ends reach guest memory by themselves.</summary>
    public const ushort CommandMaster = 1 << 2;

    /// <summary>Command: INTx stays quiet.</summary>
    public const ushort CommandIntxDisable = 1 << 10;

    /// <summary>Status: INTx would be asserted.</summary>
    public const ushort StatusInterrupt = 1 << 3;

    /// <summary>Status: there is a list of capabilities.</summary>
    public const ushort StatusCapabilities = 1 << 4;

    /// <summary>BAR: 64-bit memory, in bits 2:1.</summary>
    public const uint Bar64 = 4;

    /// <summary>Capability id: vendor-specific, which virtio uses.</summary>
    public const byte VendorCapability = 0x09;

    /// <summary>Capability id: MSI-X.</summary>
    public const byte MsiXCapability = 0x11;
}
