using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>What precedes a list: <c>struct kvm_cpuid2</c>, <c>kvm_msrs</c> and <c>kvm_irq_routing</c>. 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 8)]
internal struct KvmListHeader
{
    /// <summary>Number of entries, or room for so many.</summary>
    public uint Count;

    /// <summary>0.</summary>
    public uint Reserved;
}

/// <summary>What precedes the list of MSR indices, <c>struct kvm_msr_list</c>. 4 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 4)]
internal struct KvmMsrIndexHeader
{
    /// <summary>Number of indices, or room for so many.</summary>
    public uint Count;
}
