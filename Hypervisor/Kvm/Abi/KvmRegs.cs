using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>General registers, <c>struct kvm_regs</c>. 144 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 144)]
internal struct KvmRegs
{
#pragma warning disable CS1591 // The names are the processor's own.
    public ulong Rax, Rbx, Rcx, Rdx, Rsi, Rdi, Rsp, Rbp, R8, R9, R10, R11, R12, R13, R14, R15, Rip, Rflags;
#pragma warning restore CS1591
}
