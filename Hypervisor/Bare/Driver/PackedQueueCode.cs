namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Packed rings (virtio 1.2 §2.8).</summary>
internal sealed class PackedQueueCode(CodeWriter code, int number, int index, int slots, ReadOnlySpan<ChainPart> parts) : QueueCode(code, number, index, slots, parts)
{
    private const int AvailableFlag = 0x80, BothFlags = 0x8080, EventsOff = 1, EventMask = 3;

    private MemoryOperand AvailableAt => Variable(0);

    private MemoryOperand AvailableFlags => Variable(8);

    private MemoryOperand UsedAt => Variable(16);

    private MemoryOperand UsedFlags => Variable(24);

    /// <inheritdoc/>
    public override void Prepare()
    {
        C.Store(AvailableFlags, AvailableFlag, Width.Qword); // both wrap counters begin with 1
        C.Store(UsedFlags, BothFlags, Width.Qword);
        C.Mov(Register.Rdi, DriverArea);
        C.Store(new MemoryOperand(Register.Rdi, 2), EventsOff, Width.Word);
    }

    /// <inheritdoc/>
    public override void Post()
    {
        C.Load(Register.R8, AvailableAt, Width.Qword);
        C.Load(Register.R9, AvailableFlags, Width.Qword);
        for (int i = 0; i < Parts.Length; i++)
        {
            C.Mov(Register.Rdi, Register.R8);
            C.Shl(Register.Rdi, 4);
            C.Add(Register.Rdi, checked((int)Descriptors));
            BufferOf(Parts[i]);
            C.Store(new MemoryOperand(Register.Rdi), Register.Rcx, Width.Qword);
            C.Store(new MemoryOperand(Register.Rdi, 8), Parts[i].LengthBytes, Width.Dword);
            C.Store(new MemoryOperand(Register.Rdi, 12), Register.Rax, Width.Word);
            C.Mov(Register.Rsi, Register.R9);
            C.Or(Register.Rsi, (i < Parts.Length - 1 ? Next : 0) | (Parts[i].Direction == ChainDirection.FromDevice ? Write : 0));
            if (Parts[i].Direction == ChainDirection.Either)
            {
                C.Or(Register.Rsi, Register.Rdx);
            }

            if (i == 0)
            {
                C.Mov(Register.R10, Register.Rdi); // its flags publish the chain, so they come last
                C.Mov(Register.R11, Register.Rsi);
            }
            else
            {
                C.Store(new MemoryOperand(Register.Rdi, 14), Register.Rsi, Width.Word);
            }

            C.Add(Register.R8, 1);
            Label goesOn = C.NewLabel();
            C.Cmp(Register.R8, Size);
            C.J(Condition.Below, goesOn);
            C.Mov(Register.R8, 0);
            C.Xor(Register.R9, BothFlags);
            C.Bind(goesOn);
        }

        C.Store(AvailableAt, Register.R8, Width.Qword);
        C.Store(AvailableFlags, Register.R9, Width.Qword);
        C.Store(new MemoryOperand(Register.R10, 14), Register.R11, Width.Word);
    }

    /// <inheritdoc/>
    public override void Take(Label none, Label foreign)
    {
        C.Load(Register.R8, UsedAt, Width.Qword);
        C.Mov(Register.Rdi, Register.R8);
        C.Shl(Register.Rdi, 4);
        C.Add(Register.Rdi, checked((int)Descriptors));
        C.Load(Register.Rcx, new MemoryOperand(Register.Rdi, 14), Width.Word);
        C.And(Register.Rcx, BothFlags);
        C.Load(Register.R9, UsedFlags, Width.Qword);
        C.Cmp(Register.Rcx, Register.R9);
        C.J(Condition.NotEqual, none);
        C.Load(Register.Rax, new MemoryOperand(Register.Rdi, 12), Width.Word);
        C.Load(Register.Rcx, new MemoryOperand(Register.Rdi, 8), Width.Dword);
        C.Add(Register.R8, Parts.Length);
        Label goesOn = C.NewLabel();
        C.Cmp(Register.R8, Size);
        C.J(Condition.Below, goesOn);
        C.Sub(Register.R8, Size);
        C.Xor(Register.R9, BothFlags);
        C.Store(UsedFlags, Register.R9, Width.Qword);
        C.Bind(goesOn);
        C.Store(UsedAt, Register.R8, Width.Qword);
        C.Cmp(Register.Rax, Slots);
        C.J(Condition.AboveOrEqual, foreign);
    }

    /// <inheritdoc/>
    protected override void SkipUnlessWanted(Label quiet)
    {
        C.Mov(Register.Rdi, DeviceArea);
        C.Load(Register.Rcx, new MemoryOperand(Register.Rdi, 2), Width.Word);
        C.And(Register.Rcx, EventMask);
        C.Cmp(Register.Rcx, EventsOff);
        C.J(Condition.Equal, quiet);
    }
}
