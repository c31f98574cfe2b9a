using Paravane.Hypervisor.Bare;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Kvm.Abi;

namespace Paravane.Hypervisor.Tests.Kvm;

/// <summary>The life of vCPUs: start, pause, resume, reset, and each way to end.</summary>
[Trait("Needs", "KVM")]
public sealed class VcpuGroupTests
{
    private const byte Port = 0xE0;
    private const ulong ApPage = 0x1_0000;

    [Fact]
    public void A_halted_guest_ends_when_it_is_told_to()
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Hlt();
        guest.Start(code, BootMode.Long);
        guest.Vcpus.Pause();
        Assert.Null(guest.Vcpus.Stopped);
        Assert.Equal(0, guest.Vcpus[0].Counters.Exits);
    }

    [Theory]
    [InlineData((int)BootMode.Long, 0x10)]
    [InlineData((int)BootMode.LongUser, 0x33)]
    public void The_first_vcpu_begins_as_its_mode_says(int mode, int selector)
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Mov(Register.Rbx, Register.Rsi);
        code.Push(Register.Rbx);
        code.Exit();
        guest.Start(code, (BootMode)mode, parameter: 0x7000);
        Assert.Equal(VmStopKind.PowerOff, guest.Wait().Kind);
        guest.Vcpus.Pause();
        KvmRegs registers = guest.Vcpus[0].Registers;
        Assert.Equal((0x7000ul, 0x8FE8ul), (registers.Rbx, registers.Rsp)); // that the port answered is the proof of IOPL
        Assert.Equal(selector, guest.Vcpus[0].SpecialRegisters.Cs.Selector);
        Assert.Equal(0x7000ul, guest.ReadWord(0x8FE8));
    }

    [Fact]
    public void PVH_begins_in_32_bit_mode_with_its_block_in_EBX()
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Raw(0x89, 0xD8, 0x40); // mov eax, ebx; inc eax: in 64-bit mode the last byte would be a prefix
        code.Raw(0xE6, BareGuest.ExitPort, 0xF4);
        guest.Start(code, BootMode.Pvh, parameter: 0x41);
        guest.Wait();
        Assert.Equal(0x42, guest.ExitValue);
    }

    [Fact]
    public void A_pause_completes_the_access_that_is_under_way()
    {
        using var guest = new BareGuest();
        var device = new BusRecorder(8) { Content = { [0] = 0x5A } };
        guest.Memory.Add(BareGuest.Window, 8, device, "d");
        var code = new CodeWriter();
        code.Mov(Register.Rbx, BareGuest.Window);
        Label again = code.Here();
        code.Mov(Register.Rax, 0);
        code.Load(Register.Rax, new MemoryOperand(Register.Rbx), Width.Byte);
        Label done = code.Here();
        code.Jmp(again);
        guest.Start(code);
        for (int i = 0; i < 20; i++)
        {
            guest.Vcpus.Pause();
            KvmRegs registers = guest.Vcpus[0].Registers;
            Assert.True(registers.Rip != BareGuest.Entry + (ulong)code.OffsetOf(done) || registers.Rax == 0x5A, "behind a read without its value");
            guest.Vcpus.Resume();
        }
    }

    [Fact]
    public void Kicks_reach_a_guest_that_never_exits_through_many_collections()
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Mov(Register.Rbx, BareGuest.Scratch);
        Label again = code.Here();
        code.Add(Register.Rax, 1);
        code.Store(new MemoryOperand(Register.Rbx), Register.Rax, Width.Qword);
        code.Jmp(again);
        guest.Start(code);
        var collector = new Thread(() =>
        {
            for (int i = 0; i < 10; i++)
            {
                GC.Collect(0, GCCollectionMode.Forced, blocking: true);
                Thread.Sleep(1); // a runtime that only collects lets nobody do anything
            }
        });
        collector.Start();
        for (int i = 0; i < 60; i++)
        {
            guest.Vcpus.Pause();
            ulong count = guest.ReadWord(BareGuest.Scratch);
            Assert.InRange(guest.Vcpus[0].Registers.Rax, count, count + 1);
            guest.Vcpus.Resume();
        }

        collector.Join();
        guest.Vcpus.Pause();
        Assert.Equal(0, guest.Vcpus[0].Counters.Exits);
        Assert.NotEqual(0ul, guest.ReadWord(BareGuest.Scratch));
    }

    [Fact]
    public void Registers_are_for_a_paused_vcpu()
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Spin();
        guest.Start(code);
        Assert.Throws<InvalidOperationException>(() => guest.Vcpus[0].Registers);
        Assert.Throws<InvalidOperationException>(() => guest.Vcpus.Reset(default));
        guest.Vcpus.Pause();
        KvmRegs registers = guest.Vcpus[0].Registers;
        registers.R9 = 0x1234_5678_9ABC_DEF0;
        guest.Vcpus[0].Registers = registers;
        guest.Vcpus.Resume();
        guest.Vcpus.Pause();
        Assert.Equal(0x1234_5678_9ABC_DEF0ul, guest.Vcpus[0].Registers.R9);
    }

    [Fact]
    public void A_triple_fault_ends_the_run_with_a_reason()
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Raw(0x0F, 0x0B); // UD2 without an interrupt table
        guest.Start(code);
        VmStop stop = guest.Wait();
        Assert.Equal(VmStopKind.TripleFault, stop.Kind);
        Assert.StartsWith("vcpu0: triple fault", stop.Reason, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => guest.Vcpus.Resume());
    }

    [Fact]
    public void Code_that_KVM_cannot_run_ends_the_run_and_not_the_process()
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Mov(Register.Rax, BareGuest.Window);
        code.Jmp(Register.Rax); // there is no memory to fetch from
        guest.Start(code, BootMode.Long);
        VmStop stop = guest.Wait();
        Assert.Equal(VmStopKind.Fault, stop.Kind);
        Assert.Contains("rip 0xd0000000", stop.Reason, StringComparison.Ordinal);
        var next = new CodeWriter();
        next.Exit(5);
        guest.Restart(next);
        Assert.Equal(VmStopKind.PowerOff, guest.Wait().Kind);
        Assert.Equal(5, guest.ExitValue);
    }

    [Fact]
    public void A_device_that_throws_ends_the_run_and_not_the_process()
    {
        using var guest = new BareGuest();
        guest.Ports.Add(Port, 1, new BrokenDevice(), "broken");
        var code = new CodeWriter();
        code.Out(Port, Width.Byte);
        code.Spin();
        guest.Start(code);
        Assert.Equal(new VmStop(VmStopKind.Fault, "vcpu0: InvalidOperationException: broken"), guest.Wait());
    }

    [Fact]
    public void Only_the_first_end_of_a_run_counts()
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Spin();
        guest.Start(code);
        guest.Vcpus.RequestStop(VmStopKind.Reset, "first");
        guest.Vcpus.RequestStop(VmStopKind.PowerOff, "second");
        Assert.Equal(new VmStop(VmStopKind.Reset, "first"), guest.Wait());
    }

    [Fact]
    public void Cpuid_tells_a_guest_its_hypervisor_and_its_id()
    {
        using var guest = new BareGuest(vcpus: 2);
        var code = new CodeWriter();
        code.Mov(Register.R8, BareGuest.Scratch);
        code.Mov(Register.Rax, 0x4000_0000);
        code.Cpuid();
        code.Store(new MemoryOperand(Register.R8), Register.Rbx, Width.Dword);
        code.Mov(Register.Rax, 0xB);
        code.Mov(Register.Rcx, 1);
        code.Cpuid();
        code.Store(new MemoryOperand(Register.R8, 4), Register.Rbx, Width.Dword);
        code.Exit();
        guest.Run(code, BootMode.Long);
        Assert.Equal(0x4B4D_564Bu, (uint)guest.ReadWord(BareGuest.Scratch));
        Assert.Equal(2u, (uint)(guest.ReadWord(BareGuest.Scratch) >> 32) & 0xFFFF);
    }

    [Fact]
    public void A_second_vcpu_starts_by_INIT_and_SIPI_also_after_a_reset()
    {
        using var guest = new BareGuest(vcpus: 2);
        var port = new GuestInterruptTests.Marks();
        guest.Ports.Add(Port, 1, port, "marks");
        guest.Write(ApPage, [0xB0, 0x77, 0xE6, Port, 0xF4, 0xEB, 0xFD]); // mov al, 0x77; out Port, al; hlt; jmp to the hlt
        CodeWriter code = StartSecond();
        guest.Start(code, BootMode.Long);
        port.Expect(0x77);
        guest.Restart(code, BootMode.Long);
        port.Expect(0x77);
        guest.Vcpus.Pause();
        Assert.Equal(1, guest.Vcpus[1].SpecialRegisters.Cs.Base == ApPage ? 1 : 0);
    }

    [Fact]
    public void Sixteen_vcpus_pause_and_end()
    {
        using var guest = new BareGuest(vcpus: 16);
        var code = new CodeWriter();
        code.Spin();
        guest.Start(code);
        guest.Vcpus.Pause();
        guest.Vcpus.Resume();
        guest.Vcpus.Pause();
        Assert.Equal(16, guest.Vcpus.Count);
    }

    [Fact]
    public void A_reset_leaves_nothing_of_what_the_guest_did()
    {
        using var guest = new BareGuest();
        KvmSregs before = guest.Vcpus[0].SpecialRegisters;
        var code = new CodeWriter();
        code.EnableApic();
        code.Mov(Register.Rcx, 0xC000_0082); // LSTAR
        code.Mov(Register.Rax, 0x1234);
        code.Mov(Register.Rdx, 0);
        code.Wrmsr();
        code.Sti();
        code.Exit();
        guest.Run(code, BootMode.Long);
        guest.Vcpus.Pause();
        guest.Vcpus[0].Registers = guest.Vcpus[0].Registers with { R12 = 99 };
        var look = new CodeWriter();
        look.Mov(Register.R8, BareGuest.Scratch);
        look.Store(new MemoryOperand(Register.R8, 24), Register.R12, Width.Qword);
        look.Mov(Register.R9, GuestCode.LocalApic);
        look.Load(Register.Rbx, new MemoryOperand(Register.R9, 0xF0), Width.Dword);
        look.Store(new MemoryOperand(Register.R8), Register.Rbx, Width.Qword);
        look.Mov(Register.Rcx, 0xC000_0082);
        look.Rdmsr();
        look.Store(new MemoryOperand(Register.R8, 8), Register.Rax, Width.Qword);
        look.Exit(1);
        guest.Restart(look, BootMode.Long);
        guest.Wait();
        Assert.Equal(0xFFul, guest.ReadWord(BareGuest.Scratch)); // the local APIC is off
        Assert.Equal(0ul, guest.ReadWord(BareGuest.Scratch + 8));
        Assert.Equal(0ul, guest.ReadWord(BareGuest.Scratch + 24));
        guest.Vcpus.Pause();
        Assert.Equal(2ul, guest.Vcpus[0].Registers.Rflags & 0x202); // interrupts are off
        guest.Vcpus.Reset(new BootState(BootMode.Pvh, BareGuest.Entry, 0));
        KvmSregs after = guest.Vcpus[0].SpecialRegisters;
        Assert.Equal((before.Cr2, before.Cr8, before.ApicBase, 0ul), (after.Cr2, after.Cr8, after.ApicBase, after.Efer));
    }

    [Fact]
    public void A_vcpu_cannot_wait_for_itself()
    {
        using var guest = new BareGuest();
        var device = new PausingDevice(guest);
        guest.Ports.Add(Port, 1, device, "pauses");
        var code = new CodeWriter();
        code.Out(Port, Width.Byte);
        code.Exit();
        guest.Run(code);
        Assert.IsType<InvalidOperationException>(device.Problem);
    }

    [Fact]
    public void Threads_have_names()
    {
        using var guest = new BareGuest();
        var name = new NamingDevice();
        guest.Ports.Add(Port, 1, name, "name");
        var code = new CodeWriter();
        code.Out(Port, Width.Byte);
        code.Exit();
        guest.Run(code);
        Assert.Equal("vcpu0", name.Seen);
    }

    /// <summary>INIT and SIPI to APIC 1, then sleep.</summary>
    private static CodeWriter StartSecond()
    {
        const int CommandLow = 0x300, CommandHigh = 0x310, Init = 0x4500, Startup = 0x4600;
        var code = new CodeWriter();
        code.EnableApic();
        code.Store(new MemoryOperand(Register.R15, CommandHigh), 1 << 24, Width.Dword);
        code.Store(new MemoryOperand(Register.R15, CommandLow), Init, Width.Dword);
        code.Store(new MemoryOperand(Register.R15, CommandHigh), 1 << 24, Width.Dword);
        code.Store(new MemoryOperand(Register.R15, CommandLow), Startup | (int)(ApPage >> 12), Width.Dword);
        code.Sleep();
        return code;
    }

    private sealed class BrokenDevice : IBusDevice
    {
        public void Read(ulong offset, Span<byte> data) => throw new InvalidOperationException("broken");

        public void Write(ulong offset, ReadOnlySpan<byte> data) => throw new InvalidOperationException("broken");
    }

    private sealed class NamingDevice : IBusDevice
    {
        public string? Seen { get; private set; }

        public void Read(ulong offset, Span<byte> data) => data.Clear();

        public void Write(ulong offset, ReadOnlySpan<byte> data) => Seen = Thread.CurrentThread.Name;
    }

    private sealed class PausingDevice(BareGuest guest) : IBusDevice
    {
        public Exception? Problem { get; private set; }

        public void Read(ulong offset, Span<byte> data) => data.Clear();

        public void Write(ulong offset, ReadOnlySpan<byte> data) => Problem = Record.Exception(guest.Vcpus.Pause);
    }
}
