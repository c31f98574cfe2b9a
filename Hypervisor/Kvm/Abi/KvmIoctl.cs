namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>Request numbers of <c>ioctl(2)</c> on KVM's descriptors (<c>linux/kvm.h</c>). Bits 29:16 are the size of the argument's structure.</summary>
internal static class KvmIoctl
{
    // On /dev/kvm.

    /// <summary>KVM_GET_API_VERSION.</summary>
    public const uint GetApiVersion = 0xAE00;

    /// <summary>KVM_CREATE_VM; the argument is the type, 0.</summary>
    public const uint CreateVm = 0xAE01;

    /// <summary>KVM_GET_MSR_INDEX_LIST: <see cref="KvmMsrIndexHeader"/> and indices behind it.</summary>
    public const uint GetMsrIndexList = 0xC004AE02;

    /// <summary>KVM_CHECK_EXTENSION, also on a VM; the argument is a <see cref="KvmCapability"/>.</summary>
    public const uint CheckExtension = 0xAE03;

    /// <summary>KVM_GET_VCPU_MMAP_SIZE.</summary>
    public const uint GetVcpuMmapSize = 0xAE04;

    /// <summary>KVM_GET_SUPPORTED_CPUID: <see cref="KvmListHeader"/> and <see cref="KvmCpuidEntry"/> behind it.</summary>
    public const uint GetSupportedCpuid = 0xC008AE05;

    // On a VM.

    /// <summary>KVM_CREATE_VCPU; the argument is the id.</summary>
    public const uint CreateVcpu = 0xAE41;

    /// <summary>KVM_SET_USER_MEMORY_REGION: <see cref="KvmMemoryRegion"/>.</summary>
    public const uint SetUserMemoryRegion = 0x4020AE46;

    /// <summary>KVM_SET_TSS_ADDR; the argument is the address itself.</summary>
    public const uint SetTssAddress = 0xAE47;

    /// <summary>KVM_SET_IDENTITY_MAP_ADDR: a 64-bit address.</summary>
    public const uint SetIdentityMapAddress = 0x4008AE48;

    /// <summary>KVM_CREATE_IRQCHIP.</summary>
    public const uint CreateIrqchip = 0xAE60;

    /// <summary>KVM_IRQ_LINE: <see cref="KvmIrqLevel"/>.</summary>
    public const uint IrqLine = 0x4008AE61;

    /// <summary>KVM_GET_IRQCHIP: <see cref="KvmIrqchip"/>.</summary>
    public const uint GetIrqchip = 0xC208AE62;

    /// <summary>KVM_SET_IRQCHIP: <see cref="KvmIrqchip"/>.</summary>
    public const uint SetIrqchip = 0x8208AE63;

    /// <summary>KVM_SET_GSI_ROUTING: <see cref="KvmListHeader"/> and <see cref="KvmIrqRoute"/> behind it.</summary>
    public const uint SetGsiRouting = 0x4008AE6A;

    /// <summary>KVM_IRQFD: <see cref="KvmIrqFd"/>.</summary>
    public const uint IrqFd = 0x4020AE76;

    /// <summary>KVM_CREATE_PIT2: <see cref="KvmPitConfig"/>.</summary>
    public const uint CreatePit2 = 0x4040AE77;

    /// <summary>KVM_IOEVENTFD: <see cref="KvmIoEventFd"/>.</summary>
    public const uint IoEventFd = 0x4040AE79;

    /// <summary>KVM_GET_PIT2: <see cref="KvmPitState"/>.</summary>
    public const uint GetPit2 = 0x8070AE9F;

    /// <summary>KVM_SET_PIT2: <see cref="KvmPitState"/>.</summary>
    public const uint SetPit2 = 0x4070AEA0;

    // On a vCPU.

    /// <summary>KVM_RUN.</summary>
    public const uint Run = 0xAE80;

    /// <summary>KVM_GET_REGS: <see cref="KvmRegs"/>.</summary>
    public const uint GetRegs = 0x8090AE81;

    /// <summary>KVM_SET_REGS: <see cref="KvmRegs"/>.</summary>
    public const uint SetRegs = 0x4090AE82;

    /// <summary>KVM_GET_SREGS: <see cref="KvmSregs"/>.</summary>
    public const uint GetSregs = 0x8138AE83;

    /// <summary>KVM_SET_SREGS: <see cref="KvmSregs"/>.</summary>
    public const uint SetSregs = 0x4138AE84;

    /// <summary>KVM_TRANSLATE: <see cref="KvmTranslation"/>.</summary>
    public const uint Translate = 0xC018AE85;

    /// <summary>KVM_GET_MSRS: <see cref="KvmListHeader"/> and <see cref="KvmMsr"/> behind it; returns how many were read.</summary>
    public const uint GetMsrs = 0xC008AE88;

    /// <summary>KVM_SET_MSRS: as <see cref="GetMsrs"/>; returns how many were written.</summary>
    public const uint SetMsrs = 0x4008AE89;

    /// <summary>KVM_SET_FPU: <see cref="KvmFpu"/>.</summary>
    public const uint SetFpu = 0x41A0AE8D;

    /// <summary>KVM_GET_LAPIC: <see cref="KvmLapic"/>.</summary>
    public const uint GetLapic = 0x8400AE8E;

    /// <summary>KVM_SET_LAPIC: <see cref="KvmLapic"/>.</summary>
    public const uint SetLapic = 0x4400AE8F;

    /// <summary>KVM_SET_CPUID2: <see cref="KvmListHeader"/> and <see cref="KvmCpuidEntry"/> behind it.</summary>
    public const uint SetCpuid2 = 0x4008AE90;

    /// <summary>KVM_GET_MP_STATE: a 32-bit <see cref="KvmMpState"/>.</summary>
    public const uint GetMpState = 0x8004AE98;

    /// <summary>KVM_SET_MP_STATE: a 32-bit <see cref="KvmMpState"/>.</summary>
    public const uint SetMpState = 0x4004AE99;

    /// <summary>KVM_GET_VCPU_EVENTS: <see cref="KvmVcpuEvents"/>.</summary>
    public const uint GetVcpuEvents = 0x8040AE9F;

    /// <summary>KVM_SET_VCPU_EVENTS: <see cref="KvmVcpuEvents"/>.</summary>
    public const uint SetVcpuEvents = 0x4040AEA0;

    /// <summary>KVM_GET_DEBUGREGS: <see cref="KvmDebugRegs"/>.</summary>
    public const uint GetDebugRegs = 0x8080AEA1;

    /// <summary>KVM_SET_DEBUGREGS: <see cref="KvmDebugRegs"/>.</summary>
    public const uint SetDebugRegs = 0x4080AEA2;

    /// <summary>KVM_GET_XSAVE: 4096 bytes.</summary>
    public const uint GetXsave = 0x9000AEA4;

    /// <summary>KVM_SET_XSAVE: as many bytes as <see cref="KvmCapability.Xsave2"/> says, at least 4096.</summary>
    public const uint SetXsave = 0x5000AEA5;

    /// <summary>KVM_GET_XCRS: <see cref="KvmXcrs"/>.</summary>
    public const uint GetXcrs = 0x8188AEA6;

    /// <summary>KVM_SET_XCRS: <see cref="KvmXcrs"/>.</summary>
    public const uint SetXcrs = 0x4188AEA7;

    /// <summary>KVM_GET_TSC_KHZ: returns the frequency of the guest's time stamp counter.</summary>
    public const uint GetTscKhz = 0xAEA3;

    /// <summary>KVM_KVMCLOCK_CTRL: the guest was paused.</summary>
    public const uint KvmClockControl = 0xAEAD;

    /// <summary>KVM_GET_XSAVE2: as many bytes as <see cref="KvmCapability.Xsave2"/> says.</summary>
    public const uint GetXsave2 = 0x9000AECF;
}
