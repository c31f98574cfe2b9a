using Paravane.Hypervisor.Bare;

namespace Paravane.Hypervisor.Tests.Kvm;

/// <summary>Pieces of guest code that several tests need.</summary>
internal static class GuestCode
{
    public const ulong LocalApic = 0xFEE0_0000;

    private const int SpuriousVector = 0xF0, EndOfInterrupt = 0xB0;

    /// <summary>Ends the run with a constant.</summary>
    public static void Exit(this CodeWriter code, int value = 0)
    {
        code.Mov(Register.Rax, value);
        code.ExitWithRax();
    }

    /// <summary>Ends the run with AL.</summary>
    public static void ExitWithRax(this CodeWriter code)
    {
        code.Out(BareGuest.ExitPort, Width.Byte);
        code.Spin();
    }

    /// <summary>Does nothing for ever.</summary>
    public static void Spin(this CodeWriter code) => code.Jmp(code.Here());

    /// <summary>Sleeps for ever, for interrupts. Ring 0.</summary>
    public static void Sleep(this CodeWriter code)
    {
        Label here = code.Here();
        code.Hlt();
        code.Jmp(here);
    }

    /// <summary>Switches the local APIC on; R15 then holds its address. Ring 0.</summary>
    public static void EnableApic(this CodeWriter code)
    {
        code.Mov(Register.R15, LocalApic);
        code.Store(new MemoryOperand(Register.R15, SpuriousVector), 0x1FF, Width.Dword);
    }

    /// <summary>An interrupt handler which writes <paramref name="value"/> to <paramref name="port"/>. Uses RAX; R15 is the local APIC.</summary>
    public static void Handler(this CodeWriter code, byte port, int value)
    {
        code.Push(Register.Rax);
        code.Mov(Register.Rax, value);
        code.Out(port, Width.Byte);
        code.Store(new MemoryOperand(Register.R15, EndOfInterrupt), 0, Width.Dword);
        code.Pop(Register.Rax);
        code.Iretq();
    }

    /// <summary>Loads an interrupt table at <paramref name="table"/>, whose gates the host has written. Uses RAX and RBX.</summary>
    public static void LoadInterruptTable(this CodeWriter code, ulong table)
    {
        code.Mov(Register.Rbx, BareGuest.Scratch + 0xFF0);
        code.Store(new MemoryOperand(Register.Rbx), 0xFFF, Width.Word);
        code.Mov(Register.Rax, table);
        code.Store(new MemoryOperand(Register.Rbx, 2), Register.Rax, Width.Qword);
        code.Lidt(new MemoryOperand(Register.Rbx));
    }

    /// <summary>A ring-0 interrupt gate.</summary>
    public static byte[] Gate(ulong handler)
    {
        byte[] gate = new byte[16];
        BitConverter.TryWriteBytes(gate, (ushort)handler);
        BitConverter.TryWriteBytes(gate.AsSpan(2), (ushort)0x10);
        gate[5] = 0x8E;
        BitConverter.TryWriteBytes(gate.AsSpan(6), (ushort)(handler >> 16));
        BitConverter.TryWriteBytes(gate.AsSpan(8), (uint)(handler >> 32));
        return gate;
    }
}
