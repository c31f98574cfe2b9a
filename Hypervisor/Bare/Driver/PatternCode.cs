namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Writes subroutines that fill and compare words: each follows from the one before, the first from what the data is.</summary>
/// <remarks>Disk blocks hold what <see cref="Bench.BlockPattern"/> makes, so that the host can compare the image.</remarks>
internal sealed class PatternCode
{
    private const ulong Golden = 0x9e37_79b9_7f4a_7c15, FirstFactor = 0xbf58_476d_1ce4_e5b9, SecondFactor = 0x94d0_49bb_1331_11eb;
    private const int SectorBytes = 512;

    private readonly CodeWriter _code;

    /// <summary>Writes the subroutines that the work needs.</summary>
    public PatternCode(CodeWriter code, DiskWork? disk, NetWork? net)
    {
        _code = code;
        if (disk is not null)
        {
            FillBlock = Block(disk.Seed, compare: false);
            CompareBlock = Block(disk.Seed, compare: true);
        }

        if (net is not null)
        {
            FillFrame = Frame(net.FrameBytes - NetWork.PatternOffset, compare: false);
            CompareFrame = Frame(net.FrameBytes - NetWork.PatternOffset, compare: true);
        }
    }

    /// <summary>Fills the block at RDI: first sector in RAX, generation in RDX. Uses RAX, RCX, RSI, RDI, R8, R9.</summary>
    public Label FillBlock { get; }

    /// <summary>
    /// Compares likewise. Flags say equal; else R10 is what was found at RDI, and RCX what should be there. Uses RAX, RCX, RSI, RDI, R8 to R10.
    /// </summary>
    public Label CompareBlock { get; }

    /// <summary>Fills the frame whose pattern begins at RDI: sequence number in RAX. Uses RCX, RDI, R8, R9.</summary>
    public Label FillFrame { get; }

    /// <summary>Compares likewise, with the results of <see cref="CompareBlock"/>. Uses RCX, RDI, R8 to R10.</summary>
    public Label CompareFrame { get; }

    private Label Block(ulong seed, bool compare)
    {
        Label start = _code.Here(), sector = _code.NewLabel(), different = _code.NewLabel();
        _code.Mov(Register.R9, Golden);
        _code.Lea(Register.Rsi, new MemoryOperand(Register.Rdi, DiskWork.BlockBytes));
        _code.Bind(sector);
        _code.Mov(Register.Rcx, Register.Rax);
        _code.Imul(Register.Rcx, Register.R9);
        _code.Mov(Register.R8, Register.Rdx);
        _code.Shl(Register.R8, 48);
        _code.Xor(Register.Rcx, Register.R8);
        _code.Xor(Register.Rcx, Register.Rdx);
        _code.Mov(Register.R8, seed);
        _code.Xor(Register.Rcx, Register.R8);
        Mix(30, FirstFactor);
        Mix(27, SecondFactor);
        Mix(31, 1);
        _code.Lea(Register.R8, new MemoryOperand(Register.Rdi, SectorBytes));
        Words(compare, different);
        _code.Add(Register.Rax, 1);
        _code.Cmp(Register.Rdi, Register.Rsi);
        _code.J(Condition.Below, sector);
        _code.Cmp(Register.Rax, Register.Rax);
        _code.Bind(different);
        _code.Ret();
        return start;
    }

    private Label Frame(int lengthBytes, bool compare)
    {
        Label start = _code.Here(), different = _code.NewLabel();
        _code.Mov(Register.R9, Golden);
        _code.Lea(Register.Rcx, new MemoryOperand(Register.Rax, 1));
        _code.Imul(Register.Rcx, Register.R9);
        Mix(30, FirstFactor);
        Mix(27, 1);
        _code.Lea(Register.R8, new MemoryOperand(Register.Rdi, lengthBytes & ~7));
        Words(compare, different);
        for (int i = 0; i < lengthBytes % 8; i++)
        {
            // What is left gets the next word's lowest byte each.
            var place = new MemoryOperand(Register.Rdi, i);
            if (compare)
            {
                _code.Movzx(Register.R8, Register.Rcx, Width.Byte);
                _code.Load(Register.R10, place, Width.Byte);
                _code.Cmp(Register.R10, Register.R8);
                _code.J(Condition.NotEqual, different);
            }
            else
            {
                _code.Store(place, Register.Rcx, Width.Byte);
            }
        }

        _code.Cmp(Register.Rax, Register.Rax);
        _code.Bind(different);
        _code.Ret();
        return start;
    }

    /// <summary>RCX ^= RCX >> <paramref name="bits"/>, then times <paramref name="factor"/>. Uses R8.</summary>
    private void Mix(int bits, ulong factor)
    {
        _code.Mov(Register.R8, Register.Rcx);
        _code.Shr(Register.R8, bits);
        _code.Xor(Register.Rcx, Register.R8);
        if (factor != 1)
        {
            _code.Mov(Register.R8, factor);
            _code.Imul(Register.Rcx, Register.R8);
        }
    }

    /// <summary>Words from RDI up to R8, RCX the first.</summary>
    private void Words(bool compare, Label different)
    {
        Label word = _code.Here();
        if (compare)
        {
            _code.Load(Register.R10, new MemoryOperand(Register.Rdi), Width.Qword);
            _code.Cmp(Register.R10, Register.Rcx);
            _code.J(Condition.NotEqual, different);
        }
        else
        {
            _code.Store(new MemoryOperand(Register.Rdi), Register.Rcx, Width.Qword);
        }

        _code.Add(Register.Rcx, Register.R9);
        _code.Add(Register.Rdi, 8);
        _code.Cmp(Register.Rdi, Register.R8);
        _code.J(Condition.Below, word);
    }
}
