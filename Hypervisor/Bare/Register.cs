namespace Paravane.Hypervisor.Bare;

/// <summary>General registers by their numbers in machine code.</summary>
internal enum Register : byte
{
#pragma warning disable CS1591 // The names are the processor's own.
    Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15,
#pragma warning restore CS1591
}
