using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>Pending exceptions, interrupts and NMIs, <c>struct kvm_vcpu_events</c>, kept and given back as it is. 64 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal struct KvmVcpuEvents;

/// <summary>Debug registers, <c>struct kvm_debugregs</c>, kept and given back as they are. 128 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 128)]
internal struct KvmDebugRegs;

/// <summary>Extended control registers, <c>struct kvm_xcrs</c>, kept and given back as they are. 392 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 392)]
internal struct KvmXcrs
{
    /// <summary>Number of registers; 0 where the processor has none, and then none can be set.</summary>
    public uint Count;
}

/// <summary>What a linear address is to the vCPU, <c>struct kvm_translation</c>. 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 24)]
internal struct KvmTranslation
{
    /// <summary>In: linear address.</summary>
    public ulong Linear;

    /// <summary>Out: guest physical address.</summary>
    public ulong Physical;

    /// <summary>Out: not 0 when it is mapped.</summary>
    public byte Valid;
}
