namespace Paravane.Hypervisor.Bare;

/// <content>The instructions.</content>
internal sealed partial class CodeWriter
{
    private const int AddField = 0, OrField = 1, AndField = 4, SubField = 5, XorField = 6, CmpField = 7;

    /// <summary>Loads a constant, by the shortest form.</summary>
    public void Mov(Register to, ulong value)
    {
        if (value <= uint.MaxValue)
        {
            Prefixes(Width.Dword, 0, 0, (int)to); // the upper half becomes zero
            _code.Add((byte)(0xB8 | ((int)to & 7)));
            Imm32(unchecked((int)value));
        }
        else
        {
            Prefixes(Width.Qword, 0, 0, (int)to);
            _code.Add((byte)(0xB8 | ((int)to & 7)));
            Imm64(value);
        }
    }

    /// <summary>Loads a constant; its sign is extended.</summary>
    public void Mov(Register to, int value)
    {
        if (value >= 0)
        {
            Mov(to, (ulong)value);
        }
        else
        {
            RegisterForm(Width.Qword, [0xC7], 0, to);
            Imm32(value);
        }
    }

    /// <summary>Copies a register.</summary>
    public void Mov(Register to, Register from) => RegisterForm(Width.Qword, [0x89], (int)from, to);

    /// <summary>Keeps the lowest bytes of <paramref name="from"/>; the rest of <paramref name="to"/> becomes zero.</summary>
    public void Movzx(Register to, Register from, Width width)
    {
        switch (width)
        {
            case Width.Byte:
                Prefixes(Width.Dword, (int)to, 0, (int)from, byteRegister: (int)from);
                _code.AddRange([0x0F, 0xB6, (byte)(0xC0 | (((int)to & 7) << 3) | ((int)from & 7))]);
                break;
            case Width.Word:
                RegisterForm(Width.Dword, [0x0F, 0xB7], (int)to, from);
                break;
            case Width.Dword:
                RegisterForm(Width.Dword, [0x89], (int)from, to);
                break;
            default:
                Mov(to, from);
                break;
        }
    }

    /// <summary>Reads memory; the rest of the register becomes zero.</summary>
    public void Load(Register to, MemoryOperand from, Width width)
    {
        switch (width)
        {
            case Width.Byte:
                MemoryForm(Width.Dword, [0x0F, 0xB6], (int)to, from);
                break;
            case Width.Word:
                MemoryForm(Width.Dword, [0x0F, 0xB7], (int)to, from);
                break;
            default:
                MemoryForm(width, [0x8B], (int)to, from);
                break;
        }
    }

    /// <summary>Writes the lowest bytes of a register to memory.</summary>
    public void Store(MemoryOperand to, Register from, Width width) =>
        MemoryForm(width, [(byte)(width == Width.Byte ? 0x88 : 0x89)], (int)from, to, byteRegister: width == Width.Byte ? (int)from : 0);

    /// <summary>Writes a constant to memory; at 64 bits its sign is extended.</summary>
    public void Store(MemoryOperand to, int value, Width width)
    {
        MemoryForm(width, [(byte)(width == Width.Byte ? 0xC6 : 0xC7)], 0, to);
        switch (width)
        {
            case Width.Byte:
                Imm8(value);
                break;
            case Width.Word:
                Imm16(value);
                break;
            default:
                Imm32(value);
                break;
        }
    }

    /// <summary>The address of a label.</summary>
    public void Lea(Register to, Label from)
    {
        Prefixes(Width.Qword, (int)to, 0, 0);
        _code.AddRange([0x8D, (byte)((((int)to & 7) << 3) | 5)]);
        Distance(from);
    }

    /// <summary>The address of a memory operand: an addition that leaves flags alone.</summary>
    public void Lea(Register to, MemoryOperand from) => MemoryForm(Width.Qword, [0x8D], (int)to, from);

    /// <summary>Adds.</summary>
    public void Add(Register to, Register value) => Arithmetic(AddField, to, value);

    /// <summary>Adds a constant; its sign is extended.</summary>
    public void Add(Register to, int value) => Arithmetic(AddField, to, value);

    /// <summary>Subtracts.</summary>
    public void Sub(Register to, Register value) => Arithmetic(SubField, to, value);

    /// <summary>Subtracts a constant; its sign is extended.</summary>
    public void Sub(Register to, int value) => Arithmetic(SubField, to, value);

    /// <summary>Bitwise and.</summary>
    public void And(Register to, Register value) => Arithmetic(AndField, to, value);

    /// <summary>Bitwise and with a constant; its sign is extended.</summary>
    public void And(Register to, int value) => Arithmetic(AndField, to, value);

    /// <summary>Bitwise or.</summary>
    public void Or(Register to, Register value) => Arithmetic(OrField, to, value);

    /// <summary>Bitwise or with a constant; its sign is extended.</summary>
    public void Or(Register to, int value) => Arithmetic(OrField, to, value);

    /// <summary>Bitwise exclusive or.</summary>
    public void Xor(Register to, Register value) => Arithmetic(XorField, to, value);

    /// <summary>Bitwise exclusive or with a constant; its sign is extended.</summary>
    public void Xor(Register to, int value) => Arithmetic(XorField, to, value);

    /// <summary>Compares.</summary>
    public void Cmp(Register left, Register right) => Arithmetic(CmpField, left, right);

    /// <summary>Compares with a constant; its sign is extended.</summary>
    public void Cmp(Register left, int right) => Arithmetic(CmpField, left, right);

    /// <summary>Sets flags as <see cref="And(Register, Register)"/>.</summary>
    public void Test(Register left, Register right) => RegisterForm(Width.Qword, [0x85], (int)right, left);

    /// <summary>Sets flags as <see cref="And(Register, int)"/>.</summary>
    public void Test(Register left, int right)
    {
        RegisterForm(Width.Qword, [0xF7], 0, left);
        Imm32(right);
    }

    /// <summary>Shifts left.</summary>
    /// <param name="register">What.</param>
    /// <param name="bits">0 to 63.</param>
    public void Shl(Register register, int bits)
    {
        RegisterForm(Width.Qword, [0xC1], 4, register);
        Imm8(bits);
    }

    /// <summary>Shifts right, zeroes coming in.</summary>
    /// <param name="register">What.</param>
    /// <param name="bits">0 to 63.</param>
    public void Shr(Register register, int bits)
    {
        RegisterForm(Width.Qword, [0xC1], 5, register);
        Imm8(bits);
    }

    /// <summary>Shifts right by CL bits, zeroes coming in.</summary>
    public void ShrCl(Register register) => RegisterForm(Width.Qword, [0xD3], 5, register);

    /// <summary>Number of the highest bit that is set. Undefined for 0.</summary>
    public void Bsr(Register to, Register from) => RegisterForm(Width.Qword, [0x0F, 0xBD], (int)to, from);

    /// <summary>Adds 1 to 64 bits of memory.</summary>
    public void Inc(MemoryOperand memory) => MemoryForm(Width.Qword, [0xFF], 0, memory);

    /// <summary>Multiplies; the lower 64 bits remain.</summary>
    public void Imul(Register to, Register value) => RegisterForm(Width.Qword, [0x0F, 0xAF], (int)to, value);

    /// <summary>Jumps.</summary>
    public void Jmp(Label target)
    {
        _code.Add(0xE9);
        Distance(target);
    }

    /// <summary>Jumps to the address in a register.</summary>
    public void Jmp(Register target) => RegisterForm(Width.Dword, [0xFF], 4, target);

    /// <summary>Jumps if.</summary>
    public void J(Condition condition, Label target)
    {
        _code.AddRange([0x0F, (byte)(0x80 | (int)condition)]);
        Distance(target);
    }

    /// <summary>Calls.</summary>
    public void Call(Label target)
    {
        _code.Add(0xE8);
        Distance(target);
    }

    /// <summary>Returns.</summary>
    public void Ret() => _code.Add(0xC3);

    /// <summary>Pushes a register.</summary>
    public void Push(Register register)
    {
        Prefixes(Width.Dword, 0, 0, (int)register);
        _code.Add((byte)(0x50 | ((int)register & 7)));
    }

    /// <summary>Pops a register.</summary>
    public void Pop(Register register)
    {
        Prefixes(Width.Dword, 0, 0, (int)register);
        _code.Add((byte)(0x58 | ((int)register & 7)));
    }

    /// <summary>Reads port DX into AL, AX or EAX.</summary>
    public void In(Width width) => Accumulator(width, 0xEC);

    /// <summary>Writes AL, AX or EAX to port DX.</summary>
    public void Out(Width width) => Accumulator(width, 0xEE);

    /// <summary>Reads port <paramref name="port"/> into AL, AX or EAX.</summary>
    public void In(byte port, Width width)
    {
        Accumulator(width, 0xE4);
        _code.Add(port);
    }

    /// <summary>Writes AL, AX or EAX to port <paramref name="port"/>.</summary>
    public void Out(byte port, Width width)
    {
        Accumulator(width, 0xE6);
        _code.Add(port);
    }

    /// <summary>Reads port DX RCX times, to RDI and up.</summary>
    public void RepIns(Width width) => Repeat(width, 0x6C);

    /// <summary>Writes RCX values from RSI on to port DX.</summary>
    public void RepOuts(Width width) => Repeat(width, 0x6E);

    /// <summary>Copies RCX values from RSI on to RDI and up.</summary>
    public void RepMovs(Width width) => Repeat(width, 0xA4);

    /// <summary>Writes AL, AX, EAX or RAX RCX times, to RDI and up.</summary>
    public void RepStos(Width width) => Repeat(width, 0xAA);

    /// <summary>All earlier reads and writes before all later ones.</summary>
    public void Mfence() => _code.AddRange([0x0F, 0xAE, 0xF0]);

    /// <summary>A moment's rest in a loop that waits.</summary>
    public void Pause() => _code.AddRange([0xF3, 0x90]);

    /// <summary>Sleeps until an interrupt. Ring 0.</summary>
    public void Hlt() => _code.Add(0xF4);

    /// <summary>Asks about the processor: leaf EAX, sub-leaf ECX; answers in EAX, EBX, ECX, EDX.</summary>
    public void Cpuid() => _code.AddRange([0x0F, 0xA2]);

    /// <summary>Reads the time stamp counter into EDX:EAX; the upper halves become zero.</summary>
    public void Rdtsc() => _code.AddRange([0x0F, 0x31]);

    /// <summary>Reads model-specific register ECX into EDX:EAX. Ring 0.</summary>
    public void Rdmsr() => _code.AddRange([0x0F, 0x32]);

    /// <summary>Writes EDX:EAX to model-specific register ECX. Ring 0.</summary>
    public void Wrmsr() => _code.AddRange([0x0F, 0x30]);

    /// <summary>Lets interrupts in, after one more instruction.</summary>
    public void Sti() => _code.Add(0xFB);

    /// <summary>Keeps interrupts out.</summary>
    public void Cli() => _code.Add(0xFA);

    /// <summary>Returns from an interrupt.</summary>
    public void Iretq() => _code.AddRange([0x48, 0xCF]);

    /// <summary>Loads the interrupt descriptor table's register: 16 bits of limit, 64 of address. Ring 0.</summary>
    public void Lidt(MemoryOperand from) => MemoryForm(Width.Dword, [0x0F, 0x01], 3, from);

    private void Arithmetic(int field, Register to, Register value) => RegisterForm(Width.Qword, [(byte)((field << 3) | 1)], (int)value, to);

    private void Arithmetic(int field, Register to, int value)
    {
        bool isShort = value is >= sbyte.MinValue and <= sbyte.MaxValue;
        RegisterForm(Width.Qword, [(byte)(isShort ? 0x83 : 0x81)], field, to);
        if (isShort)
        {
            Imm8(value);
        }
        else
        {
            Imm32(value);
        }
    }

    /// <summary>Port instructions: the opcode, and one more for more than a byte.</summary>
    private void Accumulator(Width width, byte opcode)
    {
        if (width == Width.Qword)
        {
            throw new ArgumentOutOfRangeException(nameof(width), width, "ports have at most 32 bits");
        }

        Prefixes(width, 0, 0, 0);
        _code.Add((byte)(opcode | (width == Width.Byte ? 0 : 1)));
    }

    private void Repeat(Width width, byte opcode)
    {
        if (width == Width.Qword && opcode < 0xA0)
        {
            throw new ArgumentOutOfRangeException(nameof(width), width, "ports have at most 32 bits");
        }

        _code.Add(0xF3); // before REX, which must be last
        Prefixes(width, 0, 0, 0);
        _code.Add((byte)(opcode | (width == Width.Byte ? 0 : 1)));
    }
}
