using Paravane.Hypervisor.Bare;
using static Paravane.Hypervisor.Bare.Register;
using static Paravane.Hypervisor.Bare.Width;

namespace Paravane.Hypervisor.Tests.Bare;

/// <summary>Encodings against those of the GNU assembler.</summary>
public sealed class CodeWriterTests
{
    [Fact]
    public void Instructions_are_encoded_as_an_assembler_does()
    {
        (string Bytes, Action<CodeWriter> Write)[] table =
        [
            ("B8 12 00 00 00", code => code.Mov(Rax, 0x12)),
            ("41 B9 12 00 00 00", code => code.Mov(R9, 0x12)),
            ("B8 00 00 00 D0", code => code.Mov(Rax, 0xD000_0000)),
            ("49 B9 88 77 66 55 44 33 22 11", code => code.Mov(R9, 0x1122_3344_5566_7788)),
            ("48 C7 C1 FF FF FF FF", code => code.Mov(Rcx, -1)),
            ("4C 89 C3", code => code.Mov(Rbx, R8)),
            ("49 89 D8", code => code.Mov(R8, Rbx)),
            ("40 0F B6 CE", code => code.Movzx(Rcx, Rsi, Width.Byte)),
            ("44 0F B6 CB", code => code.Movzx(R9, Rbx, Width.Byte)),
            ("41 0F B7 C2", code => code.Movzx(Rax, R10, Word)),
            ("45 89 D3", code => code.Movzx(R11, R10, Dword)),
            ("4D 89 D3", code => code.Movzx(R11, R10, Qword)),
            ("0F B6 03", code => code.Load(Rax, new MemoryOperand(Rbx), Width.Byte)),
            ("45 0F B7 45 00", code => code.Load(R8, new MemoryOperand(R13), Word)),
            ("8B 45 00", code => code.Load(Rax, new MemoryOperand(Rbp), Dword)),
            ("4C 8B 64 24 08", code => code.Load(R12, new MemoryOperand(Rsp, 8), Qword)),
            ("40 88 37", code => code.Store(new MemoryOperand(Rdi), Rsi, Width.Byte)),
            ("41 88 84 24 80 00 00 00", code => code.Store(new MemoryOperand(R12, 0x80), Rax, Width.Byte)),
            ("66 89 43 FF", code => code.Store(new MemoryOperand(Rbx, -1), Rax, Word)),
            ("44 89 0C 8B", code => code.Store(new MemoryOperand(Rbx, Rcx, 4), R9, Dword)),
            ("4B 89 84 F5 00 10 00 00", code => code.Store(new MemoryOperand(R13, R14, 8, 0x1000), Rax, Qword)),
            ("C6 03 7F", code => code.Store(new MemoryOperand(Rbx), 0x7F, Width.Byte)),
            ("66 C7 03 34 12", code => code.Store(new MemoryOperand(Rbx), 0x1234, Word)),
            ("C7 03 78 56 34 12", code => code.Store(new MemoryOperand(Rbx), 0x1234_5678, Dword)),
            ("48 C7 03 FF FF FF FF", code => code.Store(new MemoryOperand(Rbx), -1, Qword)),
            ("48 8D 44 53 FC", code => code.Lea(Rax, new MemoryOperand(Rbx, Rdx, 2, -4))),
            ("4C 01 C8", code => code.Add(Rax, R9)),
            ("49 83 C1 01", code => code.Add(R9, 1)),
            ("48 81 C0 00 10 00 00", code => code.Add(Rax, 0x1000)),
            ("48 83 EB 10", code => code.Sub(Rbx, 0x10)),
            ("48 29 C8", code => code.Sub(Rax, Rcx)),
            ("48 81 E1 FF FF 00 00", code => code.And(Rcx, 0xFFFF)),
            ("48 21 C8", code => code.And(Rax, Rcx)),
            ("48 09 D1", code => code.Or(Rcx, Rdx)),
            ("48 83 C9 01", code => code.Or(Rcx, 1)),
            ("48 31 C0", code => code.Xor(Rax, Rax)),
            ("48 83 F0 FF", code => code.Xor(Rax, -1)),
            ("49 81 FA 80 00 00 00", code => code.Cmp(R10, 0x80)),
            ("48 39 D8", code => code.Cmp(Rax, Rbx)),
            ("48 85 D8", code => code.Test(Rax, Rbx)),
            ("49 F7 C1 08 00 00 00", code => code.Test(R9, 8)),
            ("48 C1 E0 0C", code => code.Shl(Rax, 12)),
            ("49 C1 EF 03", code => code.Shr(R15, 3)),
            ("4C 0F AF C1", code => code.Imul(R8, Rcx)),
            ("FF E0", code => code.Jmp(Rax)),
            ("41 FF E1", code => code.Jmp(R9)),
            ("C3", code => code.Ret()),
            ("41 57", code => code.Push(R15)),
            ("58", code => code.Pop(Rax)),
            ("EC", code => code.In(Width.Byte)),
            ("66 ED", code => code.In(Word)),
            ("ED", code => code.In(Dword)),
            ("EE", code => code.Out(Width.Byte)),
            ("66 EF", code => code.Out(Word)),
            ("EF", code => code.Out(Dword)),
            ("E4 60", code => code.In(0x60, Width.Byte)),
            ("E7 F4", code => code.Out(0xF4, Dword)),
            ("F3 6C", code => code.RepIns(Width.Byte)),
            ("F3 66 6D", code => code.RepIns(Word)),
            ("F3 6D", code => code.RepIns(Dword)),
            ("F3 6E", code => code.RepOuts(Width.Byte)),
            ("F3 6F", code => code.RepOuts(Dword)),
            ("F3 A4", code => code.RepMovs(Width.Byte)),
            ("F3 66 A5", code => code.RepMovs(Word)),
            ("F3 A5", code => code.RepMovs(Dword)),
            ("F3 48 A5", code => code.RepMovs(Qword)),
            ("F3 AA", code => code.RepStos(Width.Byte)),
            ("F3 48 AB", code => code.RepStos(Qword)),
            ("0F AE F0", code => code.Mfence()),
            ("F3 90", code => code.Pause()),
            ("F4", code => code.Hlt()),
            ("0F A2", code => code.Cpuid()),
            ("0F 32", code => code.Rdmsr()),
            ("0F 30", code => code.Wrmsr()),
            ("FB", code => code.Sti()),
            ("FA", code => code.Cli()),
            ("48 CF", code => code.Iretq()),
            ("0F 01 1B", code => code.Lidt(new MemoryOperand(Rbx))),
        ];
        foreach ((string bytes, Action<CodeWriter> write) in table)
        {
            var code = new CodeWriter();
            write(code);
            Assert.Equal(bytes, BitConverter.ToString(code.Finish()).Replace('-', ' '));
        }
    }

    [Fact]
    public void Labels_may_be_used_before_and_after_they_have_a_place()
    {
        var code = new CodeWriter();
        Label end = code.NewLabel();
        Label start = code.Here();
        code.J(Condition.Equal, end);
        code.Call(end);
        code.Jmp(start);
        code.Lea(Rax, end);
        code.Align(32);
        code.Bind(end);
        code.Raw(0x90);
        Assert.Equal(
            "0F 84 1A 00 00 00 E8 15 00 00 00 E9 F0 FF FF FF 48 8D 05 09 00 00 00 00 00 00 00 00 00 00 00 00 90",
            BitConverter.ToString(code.Finish()).Replace('-', ' '));
        Assert.Equal(32, code.OffsetOf(end));
    }

    [Fact]
    public void Misuse_is_told()
    {
        var code = new CodeWriter();
        Label label = code.NewLabel();
        code.Jmp(label);
        Assert.Throws<InvalidOperationException>(code.Finish);
        code.Bind(label);
        Assert.Throws<InvalidOperationException>(() => code.Bind(label));
        Assert.Throws<ArgumentOutOfRangeException>(() => code.In(Qword));
        Assert.Throws<ArgumentOutOfRangeException>(() => code.RepOuts(Qword));
        Assert.Throws<ArgumentOutOfRangeException>(() => new MemoryOperand(Rax, Rsp, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new MemoryOperand(Rax, Rbx, 3));
    }
}
