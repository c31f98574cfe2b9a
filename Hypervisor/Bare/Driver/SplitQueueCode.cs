namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Split rings (virtio 1.2 §2.7). The descriptors of a slot are written once; only a changing direction is written again.</summary>
internal sealed class SplitQueueCode(CodeWriter code, int number, int index, int slots, ReadOnlySpan<ChainPart> parts) : QueueCode(code, number, index, slots, parts)
{
    private const int DescriptorShift = 4, NoInterrupt = 1, NoNotify = 1;

    private MemoryOperand Available => Variable(0);

    private MemoryOperand Used => Variable(8);

    /// <inheritdoc/>
    public override void Prepare()
    {
        C.Mov(Register.Rax, 0);
        C.Mov(Register.Rdi, Descriptors);
        Label slot = C.Here();
        for (int i = 0; i < Parts.Length; i++)
        {
            BufferOf(Parts[i]);
            C.Store(new MemoryOperand(Register.Rdi, i * 16), Register.Rcx, Width.Qword);
            C.Store(new MemoryOperand(Register.Rdi, (i * 16) + 8), Parts[i].LengthBytes, Width.Dword);
            C.Store(new MemoryOperand(Register.Rdi, (i * 16) + 12), FixedFlags(i), Width.Word);
            C.Mov(Register.Rcx, Register.Rax);
            C.Shl(Register.Rcx, StrideShift);
            C.Add(Register.Rcx, i + 1);
            C.Store(new MemoryOperand(Register.Rdi, (i * 16) + 14), Register.Rcx, Width.Word);
        }

        C.Add(Register.Rdi, 16 << StrideShift);
        C.Add(Register.Rax, 1);
        C.Cmp(Register.Rax, Slots);
        C.J(Condition.Below, slot);
        C.Mov(Register.Rdi, DriverArea);
        C.Store(new MemoryOperand(Register.Rdi), NoInterrupt, Width.Word);
    }

    /// <inheritdoc/>
    public override void Post()
    {
        int either = Array.FindIndex(Parts, part => part.Direction == ChainDirection.Either);
        if (either >= 0)
        {
            C.Mov(Register.Rdi, Register.Rax);
            C.Shl(Register.Rdi, DescriptorShift + StrideShift);
            C.Add(Register.Rdi, checked((int)Descriptors));
            C.Or(Register.Rdx, FixedFlags(either));
            C.Store(new MemoryOperand(Register.Rdi, (either * 16) + 12), Register.Rdx, Width.Word);
        }

        C.Load(Register.R8, Available, Width.Qword);
        C.Mov(Register.Rcx, Register.R8);
        C.And(Register.Rcx, Size - 1);
        C.Mov(Register.Rsi, Register.Rax);
        C.Shl(Register.Rsi, StrideShift);
        C.Mov(Register.Rdi, DriverArea);
        C.Store(new MemoryOperand(Register.Rdi, Register.Rcx, 2, 4), Register.Rsi, Width.Word);
        C.Add(Register.R8, 1);
        C.Store(Available, Register.R8, Width.Qword);
        C.Store(new MemoryOperand(Register.Rdi, 2), Register.R8, Width.Word); // after the entry: this processor keeps stores in order
    }

    /// <inheritdoc/>
    public override void Take(Label none, Label foreign)
    {
        C.Load(Register.R8, Used, Width.Qword);
        C.Mov(Register.Rdi, DeviceArea);
        C.Load(Register.Rcx, new MemoryOperand(Register.Rdi, 2), Width.Word);
        C.Movzx(Register.R9, Register.R8, Width.Word);
        C.Cmp(Register.Rcx, Register.R9);
        C.J(Condition.Equal, none);
        C.Mov(Register.Rcx, Register.R8);
        C.And(Register.Rcx, Size - 1);
        C.Load(Register.Rax, new MemoryOperand(Register.Rdi, Register.Rcx, 8, 4), Width.Dword);
        C.Load(Register.Rcx, new MemoryOperand(Register.Rdi, Register.Rcx, 8, 8), Width.Dword);
        C.Add(Register.R8, 1);
        C.Store(Used, Register.R8, Width.Qword);
        C.Test(Register.Rax, (1 << StrideShift) - 1);
        C.J(Condition.NotEqual, foreign);
        C.Shr(Register.Rax, StrideShift);
        C.Cmp(Register.Rax, Slots);
        C.J(Condition.AboveOrEqual, foreign);
    }

    /// <inheritdoc/>
    protected override void SkipUnlessWanted(Label quiet)
    {
        C.Mov(Register.Rdi, DeviceArea);
        C.Load(Register.Rcx, new MemoryOperand(Register.Rdi), Width.Word);
        C.Test(Register.Rcx, NoNotify);
        C.J(Condition.NotEqual, quiet);
    }

    private int FixedFlags(int part) => (part < Parts.Length - 1 ? Next : 0) | (Parts[part].Direction == ChainDirection.FromDevice ? Write : 0);
}
