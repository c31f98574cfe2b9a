using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>State of one interrupt controller, <c>struct kvm_irqchip</c>, kept and given back as it is. 520 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 520)]
internal struct KvmIrqchip
{
    /// <summary>0 and 1 PIC, 2 IOAPIC.</summary>
    public uint Chip;
}
