using System.Buffers.Binary;

namespace Paravane.Hypervisor.Bare;

/// <summary>Writes x86-64 machine code for guests without an operating system. Methods have the names of the instructions.</summary>
/// <remarks>Arithmetic is 64 bits wide. The code runs at any address: all jumps are relative.</remarks>
internal sealed partial class CodeWriter
{
    private const int Unbound = -1;

    private readonly List<byte> _code = [];
    private readonly List<int> _labels = [];
    private readonly List<(int At, Label Target)> _fixups = [];

    /// <summary>Bytes written until now: where the next instruction begins.</summary>
    public int Offset => _code.Count;

    /// <summary>A label without a place yet.</summary>
    public Label NewLabel()
    {
        _labels.Add(Unbound);
        return new Label(_labels.Count - 1);
    }

    /// <summary>Places <paramref name="label"/> here.</summary>
    /// <exception cref="InvalidOperationException">It has a place.</exception>
    public void Bind(Label label)
    {
        if (_labels[label.Index] != Unbound)
        {
            throw new InvalidOperationException("the label has a place");
        }

        _labels[label.Index] = Offset;
    }

    /// <summary>A label that is placed here.</summary>
    public Label Here()
    {
        Label label = NewLabel();
        Bind(label);
        return label;
    }

    /// <summary>Where <paramref name="label"/> is, in bytes from the start of the code.</summary>
    /// <exception cref="InvalidOperationException">It has no place yet.</exception>
    public int OffsetOf(Label label) =>
        _labels[label.Index] is >= 0 and int offset ? offset : throw new InvalidOperationException("the label has no place");

    /// <summary>Bytes as they are: data, or code for another mode of the processor.</summary>
    public void Raw(params ReadOnlySpan<byte> bytes) => _code.AddRange(bytes);

    /// <summary>Zero bytes up to a multiple of <paramref name="alignment"/>, a power of two.</summary>
    public void Align(int alignment)
    {
        while ((Offset & (alignment - 1)) != 0)
        {
            _code.Add(0);
        }
    }

    /// <summary>The finished code.</summary>
    /// <exception cref="InvalidOperationException">A label that is used has no place.</exception>
    public byte[] Finish()
    {
        byte[] code = [.. _code];
        foreach ((int at, Label target) in _fixups)
        {
            BinaryPrimitives.WriteInt32LittleEndian(code.AsSpan(at), OffsetOf(target) - (at + sizeof(int)));
        }

        return code;
    }

    /// <summary>A 32-bit distance to a label, counted from the end of the field, which ends the instruction.</summary>
    private void Distance(Label target)
    {
        _fixups.Add((Offset, target));
        Imm32(0);
    }

    private void Imm8(int value) => _code.Add(unchecked((byte)value));

    private void Imm16(int value)
    {
        Imm8(value);
        Imm8(value >> 8);
    }

    private void Imm32(int value)
    {
        Imm16(value);
        Imm16(value >> 16);
    }

    private void Imm64(ulong value)
    {
        Imm32(unchecked((int)value));
        Imm32(unchecked((int)(value >> 32)));
    }

    /// <summary>Prefixes: operand size, then REX where it is needed.</summary>
    /// <param name="width">Of the operands.</param>
    /// <param name="register">In the register field.</param>
    /// <param name="index">In the index field.</param>
    /// <param name="start">In the base or r/m field.</param>
    /// <param name="byteRegister">A register that without REX would name the second byte of another one; 0 for none.</param>
    private void Prefixes(Width width, int register, int index, int start, int byteRegister = 0)
    {
        if (width == Width.Word)
        {
            _code.Add(0x66);
        }

        int rex = (width == Width.Qword ? 8 : 0) | ((register >> 3) << 2) | ((index >> 3) << 1) | (start >> 3);
        if (rex != 0 || byteRegister >= 4)
        {
            _code.Add((byte)(0x40 | rex));
        }
    }

    /// <summary>An instruction with a register (or an opcode extension) and a register.</summary>
    private void RegisterForm(Width width, ReadOnlySpan<byte> opcode, int field, Register operand)
    {
        Prefixes(width, field, 0, (int)operand);
        _code.AddRange(opcode);
        _code.Add((byte)(0xC0 | ((field & 7) << 3) | ((int)operand & 7)));
    }

    /// <summary>An instruction with a register (or an opcode extension) and memory.</summary>
    private void MemoryForm(Width width, ReadOnlySpan<byte> opcode, int field, MemoryOperand memory, int byteRegister = 0)
    {
        int start = (int)memory.Base, index = (int)(memory.Index ?? Register.Rsp);
        Prefixes(width, field, memory.Index is null ? 0 : index, start, byteRegister);
        _code.AddRange(opcode);
        bool isShort = memory.Displacement is >= sbyte.MinValue and <= sbyte.MaxValue;
        bool isNone = memory.Displacement == 0 && (start & 7) != (int)Register.Rbp; // with RBP and R13 this form means something else
        int mode = isNone ? 0 : isShort ? 0x40 : 0x80;
        if (memory.Index is null && (start & 7) != (int)Register.Rsp)
        {
            _code.Add((byte)(mode | ((field & 7) << 3) | (start & 7)));
        }
        else
        {
            int scale = memory.Scale switch { 2 => 0x40, 4 => 0x80, 8 => 0xC0, _ => 0 };
            _code.Add((byte)(mode | ((field & 7) << 3) | 4));
            _code.Add((byte)(scale | ((index & 7) << 3) | (start & 7)));
        }

        if (mode == 0x40)
        {
            Imm8(memory.Displacement);
        }
        else if (mode == 0x80)
        {
            Imm32(memory.Displacement);
        }
    }
}
