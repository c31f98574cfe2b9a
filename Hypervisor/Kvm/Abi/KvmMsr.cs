using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>A model-specific register, <c>struct kvm_msr_entry</c>. 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal struct KvmMsr(uint index, ulong value)
{
    /// <summary>Number of the register.</summary>
    public uint Index = index;

    /// <summary>0.</summary>
    public uint Reserved;

    /// <summary>Its value.</summary>
    public ulong Value = value;
}
