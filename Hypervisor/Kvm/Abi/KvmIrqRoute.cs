using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>Where a GSI goes, <c>struct kvm_irq_routing_entry</c>. 48 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 48)]
internal struct KvmIrqRoute
{
    /// <summary><see cref="Type"/>: a pin of an interrupt controller (KVM_IRQ_ROUTING_IRQCHIP).</summary>
    public const uint IrqchipType = 1;

    /// <summary><see cref="Type"/>: a message (KVM_IRQ_ROUTING_MSI).</summary>
    public const uint MsiType = 2;

    /// <summary>The interrupt.</summary>
    [FieldOffset(0)]
    public uint Gsi;

    /// <summary>What the rest means.</summary>
    [FieldOffset(4)]
    public uint Type;

    /// <summary>Controller: 0 and 1 PIC, 2 IOAPIC.</summary>
    [FieldOffset(16)]
    public uint Chip;

    /// <summary>Pin of the controller.</summary>
    [FieldOffset(20)]
    public uint Pin;

    /// <summary>Message: bits 31:0 of the address.</summary>
    [FieldOffset(16)]
    public uint AddressLow;

    /// <summary>Message: bits 63:32 of the address.</summary>
    [FieldOffset(20)]
    public uint AddressHigh;

    /// <summary>Message: data.</summary>
    [FieldOffset(24)]
    public uint Data;
}
