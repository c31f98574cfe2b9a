using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>Legacy floating-point state, <c>struct kvm_fpu</c>. 416 bytes; registers are left out, they begin as zeroes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 416)]
internal struct KvmFpu
{
    /// <summary>x87 control word.</summary>
    [FieldOffset(128)]
    public ushort ControlWord;

    /// <summary>SSE control and status.</summary>
    [FieldOffset(408)]
    public uint Mxcsr;
}
