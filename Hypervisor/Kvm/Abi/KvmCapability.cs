namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>What KVM_CHECK_EXTENSION can be asked for (<c>KVM_CAP_…</c>); only those that are in use.</summary>
internal enum KvmCapability
{
    /// <summary>KVM_CAP_IRQCHIP: PIC, IOAPIC and local APICs in the kernel.</summary>
    Irqchip = 0,

    /// <summary>KVM_CAP_USER_MEMORY.</summary>
    UserMemory = 3,

    /// <summary>KVM_CAP_SET_TSS_ADDR.</summary>
    SetTssAddress = 4,

    /// <summary>KVM_CAP_EXT_CPUID.</summary>
    ExtendedCpuid = 7,

    /// <summary>KVM_CAP_MP_STATE.</summary>
    MpState = 14,

    /// <summary>KVM_CAP_IRQ_ROUTING: number of GSIs.</summary>
    IrqRouting = 25,

    /// <summary>KVM_CAP_IRQFD.</summary>
    IrqFd = 32,

    /// <summary>KVM_CAP_PIT2.</summary>
    Pit2 = 33,

    /// <summary>KVM_CAP_IOEVENTFD.</summary>
    IoEventFd = 36,

    /// <summary>KVM_CAP_SET_IDENTITY_MAP_ADDR.</summary>
    SetIdentityMapAddress = 37,

    /// <summary>KVM_CAP_VCPU_EVENTS.</summary>
    VcpuEvents = 41,

    /// <summary>KVM_CAP_DEBUGREGS.</summary>
    DebugRegs = 50,

    /// <summary>KVM_CAP_XSAVE.</summary>
    Xsave = 55,

    /// <summary>KVM_CAP_XCRS.</summary>
    Xcrs = 56,

    /// <summary>KVM_CAP_MAX_VCPUS: a number.</summary>
    MaxVcpus = 66,

    /// <summary>KVM_CAP_TSC_DEADLINE_TIMER.</summary>
    TscDeadline = 72,

    /// <summary>KVM_CAP_IOEVENTFD_ANY_LENGTH: a length of 0 matches any.</summary>
    IoEventFdAnyLength = 122,

    /// <summary>KVM_CAP_IMMEDIATE_EXIT.</summary>
    ImmediateExit = 136,

    /// <summary>KVM_CAP_XSAVE2: size of the extended state in bytes, or 0.</summary>
    Xsave2 = 208,
}
