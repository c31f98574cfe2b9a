using System.Runtime.InteropServices;
using System.Text;
using Paravane.Hypervisor.Bare;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Legacy;
using Paravane.Hypervisor.Memory;

namespace Paravane.EndToEnd.Run;

/// <summary>Kernels of a few dozen instructions for <c>paravane run</c> on the host's KVM: ELF files with a 64-bit entry.</summary>
internal static class BareKernel
{
    /// <summary>What <see cref="Obedient"/> says when it is there, and <see cref="Restarting"/> in its last life.</summary>
    public const string Greeting = "up\n";

    /// <summary>What <see cref="SwitchingOff"/> says.</summary>
    public const string Farewell = "bye\n";

    private const ulong LoadAddress = 0x100_0000, LifeCounter = 0x80_0000;
    private const ushort ResetPort = 0x604, KeyboardPort = 0x64;
    private const byte SleepRequest = 0x34; // sleep type 5, enable

    /// <summary>Says something and switches the machine off.</summary>
    public static byte[] SwitchingOff()
    {
        var code = new CodeWriter();
        Print(code, Farewell);
        SwitchOff(code);
        return Finish(code);
    }

    /// <summary>Sleeps and hears nothing.</summary>
    public static byte[] Deaf()
    {
        var code = new CodeWriter();
        Print(code, Greeting);
        Sleep(code);
        return Finish(code);
    }

    /// <summary>Does what the event device asks: switches off at the power button, lets PCI devices go.</summary>
    public static byte[] Obedient()
    {
        var code = new CodeWriter();
        Print(code, Greeting);
        Obey(code);
        return Finish(code);
    }

    /// <summary>Restarts three times, each time in another way: ACPI's register, keyboard controller, triple fault. Then obeys.</summary>
    public static byte[] Restarting()
    {
        var code = new CodeWriter();
        Label second = code.NewLabel(), third = code.NewLabel(), last = code.NewLabel();
        code.Mov(Register.Rsi, LifeCounter);
        code.Load(Register.Rcx, new MemoryOperand(Register.Rsi), Width.Qword);
        code.Add(Register.Rcx, 1);
        code.Store(new MemoryOperand(Register.Rsi), Register.Rcx, Width.Qword);
        code.Cmp(Register.Rcx, 1);
        code.J(Condition.NotEqual, second);
        Out(code, ResetPort, 1);
        Sleep(code);
        code.Bind(second);
        code.Cmp(Register.Rcx, 2);
        code.J(Condition.NotEqual, third);
        Out(code, KeyboardPort, 0xFE);
        Sleep(code);
        code.Bind(third);
        code.Cmp(Register.Rcx, 3);
        code.J(Condition.NotEqual, last);
        Fault(code);
        code.Bind(last);
        Print(code, Greeting);
        Obey(code);
        return Finish(code);
    }

    /// <summary>Faults with nobody to take it.</summary>
    public static byte[] Faulting()
    {
        var code = new CodeWriter();
        Fault(code);
        return Finish(code);
    }

    /// <summary>Goes where there is no memory to fetch instructions from.</summary>
    public static byte[] Lost()
    {
        var code = new CodeWriter();
        code.Mov(Register.Rax, AddressMap.Pci32);
        code.Jmp(Register.Rax);
        return Finish(code);
    }

    /// <summary>An ELF file around code, or around anything.</summary>
    public static byte[] Elf(byte[] code, ushort machine = ElfHeader.MachineX64, byte wordClass = ElfHeader.Class64, ulong memoryBytes = 0)
    {
        byte[] file = new byte[ElfHeader.SizeBytes + ElfProgramHeader.SizeBytes + code.Length];
        var header = new ElfHeader
        {
            Magic = ElfHeader.ExpectedMagic,
            Class = wordClass,
            Data = ElfHeader.LittleEndian,
            Machine = machine,
            Entry = LoadAddress,
            ProgramHeaders = ElfHeader.SizeBytes,
            ProgramHeaderSize = ElfProgramHeader.SizeBytes,
            ProgramHeaderCount = 1,
        };
        var segment = new ElfProgramHeader
        {
            Type = ElfProgramHeader.Load,
            Offset = ElfHeader.SizeBytes + ElfProgramHeader.SizeBytes,
            PhysicalAddress = LoadAddress,
            FileBytes = (ulong)code.Length,
            MemoryBytes = Math.Max(memoryBytes, (ulong)code.Length),
        };
        MemoryMarshal.Write(file, header);
        MemoryMarshal.Write(file.AsSpan(ElfHeader.SizeBytes), segment);
        code.CopyTo(file, file.Length - code.Length);
        return file;
    }

    private static byte[] Finish(CodeWriter code) => Elf(code.Finish());

    private static void Print(CodeWriter code, string text)
    {
        foreach (byte letter in Encoding.ASCII.GetBytes(text))
        {
            Out(code, (ushort)AddressMap.SerialPort, letter);
        }
    }

    private static void Out(CodeWriter code, ushort port, byte value)
    {
        code.Mov(Register.Rax, (ulong)value);
        code.Mov(Register.Rdx, (ulong)port);
        code.Out(Width.Byte);
    }

    private static void SwitchOff(CodeWriter code)
    {
        Out(code, (ushort)AddressMap.SleepPort, SleepRequest);
        Sleep(code);
    }

    private static void Sleep(CodeWriter code)
    {
        Label again = code.Here();
        code.Cli();
        code.Hlt();
        code.Jmp(again);
    }

    private static void Fault(CodeWriter code) => code.Raw(0x0F, 0x0B); // UD2, without an interrupt table

    private static void Obey(CodeWriter code)
    {
        const int TurnsOfRest = 500; // about a millisecond where ring 0 is interpreted
        Label off = code.NewLabel();
        code.Mov(Register.Rbx, AddressMap.EventPage);
        Label again = code.Here();
        code.Mov(Register.Rcx, (ulong)TurnsOfRest);
        Label rest = code.Here();
        code.Sub(Register.Rcx, 1);
        code.J(Condition.NotEqual, rest);
        code.Load(Register.Rax, new MemoryOperand(Register.Rbx, EventDevice.EventsOffset), Width.Dword);
        code.Test(Register.Rax, (int)EventBits.PowerButton);
        code.J(Condition.NotEqual, off);
        code.Test(Register.Rax, (int)EventBits.Pci);
        code.J(Condition.Equal, again);
        code.Load(Register.Rax, new MemoryOperand(Register.Rbx, EventDevice.PciDownOffset), Width.Dword);
        code.Store(new MemoryOperand(Register.Rbx, EventDevice.EjectOffset), Register.Rax, Width.Dword);
        code.Jmp(again);
        code.Bind(off);
        SwitchOff(code);
    }
}
