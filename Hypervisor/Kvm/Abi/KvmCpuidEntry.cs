using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>What CPUID answers for one leaf, <c>struct kvm_cpuid_entry2</c>. 40 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 40)]
internal struct KvmCpuidEntry
{
    /// <summary>Bit of <see cref="Flags"/>: <see cref="Index"/> counts (KVM_CPUID_FLAG_SIGNIFCANT_INDEX).</summary>
    public const uint IndexCounts = 1;

    /// <summary>Leaf, EAX of the question.</summary>
    public uint Function;

    /// <summary>Sub-leaf, ECX of the question.</summary>
    public uint Index;

    /// <summary><see cref="IndexCounts"/> or 0.</summary>
    public uint Flags;

#pragma warning disable CS1591 // The names are the processor's own.
    public uint Eax, Ebx, Ecx, Edx;
#pragma warning restore CS1591
}
