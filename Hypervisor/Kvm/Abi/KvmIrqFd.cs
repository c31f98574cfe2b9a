using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>An eventfd that raises an interrupt, <c>struct kvm_irqfd</c>. 32 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 32)]
internal struct KvmIrqFd
{
    /// <summary>Bit of <see cref="Flags"/>: end it (KVM_IRQFD_FLAG_DEASSIGN).</summary>
    public const uint Deassign = 1;

    /// <summary>The eventfd.</summary>
    public int Fd;

    /// <summary>The interrupt.</summary>
    public uint Gsi;

    /// <summary><see cref="Deassign"/> or 0.</summary>
    public uint Flags;

    /// <summary>Unused without KVM_IRQFD_FLAG_RESAMPLE.</summary>
    public int ResampleFd;
}

/// <summary>The level of a wired interrupt, <c>struct kvm_irq_level</c>. 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 8)]
internal struct KvmIrqLevel
{
    /// <summary>The interrupt.</summary>
    public uint Gsi;

    /// <summary>0 low, 1 high.</summary>
    public uint Level;
}
