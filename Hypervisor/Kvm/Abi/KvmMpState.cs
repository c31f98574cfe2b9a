namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>What a vCPU does as one of several, <c>struct kvm_mp_state</c>. 4 bytes. Other values are legal input.</summary>
internal enum KvmMpState : uint
{
    /// <summary>It runs.</summary>
    Runnable = 0,

    /// <summary>It waits for an INIT: every vCPU but the first, before the guest starts it.</summary>
    Uninitialized = 1,
}
