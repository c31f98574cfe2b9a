namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>Why KVM_RUN returned (<c>KVM_EXIT_…</c>). Other values are legal: newer kernels know more.</summary>
internal enum KvmExitReason : uint
{
    /// <summary>KVM_EXIT_UNKNOWN.</summary>
    Unknown = 0,

    /// <summary>KVM_EXIT_IO: an access to a port.</summary>
    Io = 2,

    /// <summary>KVM_EXIT_HLT: only without an interrupt controller in the kernel.</summary>
    Halt = 5,

    /// <summary>KVM_EXIT_MMIO: an access to memory that is no RAM.</summary>
    Mmio = 6,

    /// <summary>KVM_EXIT_SHUTDOWN: a triple fault.</summary>
    Shutdown = 8,

    /// <summary>KVM_EXIT_FAIL_ENTRY: the processor refused the vCPU's state.</summary>
    FailEntry = 9,

    /// <summary>KVM_EXIT_INTERNAL_ERROR.</summary>
    InternalError = 17,

    /// <summary>KVM_EXIT_SYSTEM_EVENT.</summary>
    SystemEvent = 24,

    /// <summary>KVM_EXIT_MEMORY_FAULT: comes with EFAULT or EHWPOISON.</summary>
    MemoryFault = 39,
}
