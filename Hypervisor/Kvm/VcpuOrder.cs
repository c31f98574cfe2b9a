namespace Paravane.Hypervisor.Kvm;

/// <summary>What a vCPU's thread is to do.</summary>
internal enum VcpuOrder
{
    /// <summary>Stand still, with no access of the guest half done.</summary>
    Pause,

    /// <summary>Run the guest.</summary>
    Run,

    /// <summary>End the thread.</summary>
    End,
}
