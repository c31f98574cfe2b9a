using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>How to make the timer, <c>struct kvm_pit_config</c>. 64 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal struct KvmPitConfig
{
    /// <summary>1: KVM answers the speaker port, too (KVM_PIT_SPEAKER_DUMMY).</summary>
    public uint Flags;
}

/// <summary>State of the timer, <c>struct kvm_pit_state2</c>, kept and given back as it is. 112 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 112)]
internal struct KvmPitState;
