using System.Diagnostics;
using Paravane.Hypervisor.Bare;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.Hypervisor.Memory;
using Paravane.Peers;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Kvm;

/// <summary>Ports, memory that is no RAM, and doorbells, as a guest uses them.</summary>
[Trait("Needs", "KVM")]
public sealed class GuestAccessTests
{
    private const byte Port = 0xE0;

    [Theory]
    [InlineData((int)Width.Byte, 0x44ul)]
    [InlineData((int)Width.Word, 0x3344ul)]
    [InlineData((int)Width.Dword, 0x1122_3344ul)]
    public void A_port_is_written_and_read_in_each_width(int bytes, ulong value)
    {
        using var guest = new BareGuest();
        var device = new BusRecorder(8);
        guest.Ports.Add(Port, 8, device, "d");
        var code = new CodeWriter();
        code.Mov(Register.Rax, 0x1122_3344);
        code.Out(Port, (Width)bytes);
        code.Mov(Register.Rax, 0);
        code.Mov(Register.Rdx, Port);
        code.In((Width)bytes);
        code.Mov(Register.Rbx, BareGuest.Scratch);
        code.Store(new MemoryOperand(Register.Rbx), Register.Rax, Width.Qword);
        code.Exit(7);
        Assert.Equal(7, guest.Run(code));
        Assert.Equal([$"W 0+{bytes}", $"R 0+{bytes}"], device.Accesses);
        Assert.Equal(value, guest.ReadWord(BareGuest.Scratch));
        guest.Vcpus.Pause();
        Assert.Equal(3, guest.Vcpus[0].Counters[KvmExitReason.Io]);
        Assert.Equal(3, guest.Vcpus[0].Counters.Exits);
    }

    /// <summary>By the median, since two cores may have other things to do; in an emulated host only that all of them run.</summary>
    [Fact]
    public void A_bare_guest_is_made_run_and_taken_away_in_50_ms()
    {
        const int Guests = 9;
        double[] milliseconds = new double[Guests];
        for (int i = 0; i < Guests; i++)
        {
            long start = Stopwatch.GetTimestamp();
            using (var guest = new BareGuest())
            {
                var code = new CodeWriter();
                code.Exit((byte)i);
                Assert.Equal(i, guest.Run(code));
            }

            milliseconds[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }

        Array.Sort(milliseconds);
        Assert.InRange(milliseconds[Guests / 2], 0, NestedHost.IsThis ? double.MaxValue : 50);
    }

    [Theory]
    [InlineData((int)Width.Byte)]
    [InlineData((int)Width.Word)]
    [InlineData((int)Width.Dword)]
    public void A_string_instruction_is_as_many_accesses_as_it_says(int bytes)
    {
        const int Count = 33;
        using var guest = new BareGuest();
        var device = new Stream();
        guest.Ports.Add(Port, 1, device, "d");
        byte[] sent = [.. Enumerable.Range(1, Count * bytes).Select(i => (byte)i)];
        guest.Write(BareGuest.Scratch, sent);
        var code = new CodeWriter();
        code.Mov(Register.Rdx, Port);
        code.Mov(Register.Rsi, BareGuest.Scratch);
        code.Mov(Register.Rcx, Count);
        code.RepOuts((Width)bytes);
        code.Mov(Register.Rdi, BareGuest.Scratch + 0x1000);
        code.Mov(Register.Rcx, Count);
        code.RepIns((Width)bytes);
        code.Exit();
        guest.Run(code);

        // The device has one port only: of a wider access the rest is nobody's.
        Assert.Equal(sent.Where((_, i) => i % bytes == 0), device.Written);
        byte[] received = guest.Read(BareGuest.Scratch + 0x1000, Count * bytes);
        Assert.Equal(Enumerable.Range(1, Count).Select(i => (byte)i), received.Where((_, i) => i % bytes == 0));
        Assert.All(received.Where((_, i) => i % bytes != 0), value => Assert.Equal(0xFF, value));
    }

    [Fact]
    public void Memory_that_is_no_RAM_is_written_and_read_in_each_width()
    {
        using var guest = new BareGuest();
        var device = new BusRecorder(72);
        guest.Memory.Add(BareGuest.Window, 72, device, "d");
        var code = new CodeWriter();
        code.Mov(Register.Rbx, BareGuest.Window);
        code.Mov(Register.Rcx, BareGuest.Scratch);
        code.Mov(Register.Rax, 0x1122_3344_5566_7788);
        foreach (Width width in new[] { Width.Byte, Width.Word, Width.Dword, Width.Qword })
        {
            var at = new MemoryOperand(Register.Rbx, 8 * (int)width);
            code.Store(at, Register.Rax, width);
            code.Load(Register.Rdx, at, width);
            code.Store(new MemoryOperand(Register.Rcx, 8 * (int)width), Register.Rdx, Width.Qword);
        }

        code.Exit();
        guest.Run(code);
        Assert.Equal(["W 8+1", "R 8+1", "W 16+2", "R 16+2", "W 32+4", "R 32+4"], device.Accesses.Take(6));
        Assert.Equal(0x88ul, guest.ReadWord(BareGuest.Scratch + 8));
        Assert.Equal(0x7788ul, guest.ReadWord(BareGuest.Scratch + 16));
        Assert.Equal(0x5566_7788ul, guest.ReadWord(BareGuest.Scratch + 32));
        Assert.Equal(0x1122_3344_5566_7788ul, guest.ReadWord(BareGuest.Scratch + 64)); // in one access or in two, as the host likes
        Assert.Equal(0x1122_3344_5566_7788ul, BitConverter.ToUInt64(device.Content, 64));
    }

    [Fact]
    public void H5_an_access_over_a_page_border_comes_in_pieces_and_is_complete()
    {
        using var guest = new BareGuest();
        var device = new BusRecorder(0x2000);
        guest.Memory.Add(BareGuest.Window, 0x2000, device, "d");
        var code = new CodeWriter();
        code.Mov(Register.Rbx, BareGuest.Window + 0xFFD);
        code.Mov(Register.Rax, 0x1122_3344_5566_7788);
        code.Store(new MemoryOperand(Register.Rbx), Register.Rax, Width.Qword);
        code.Load(Register.Rdx, new MemoryOperand(Register.Rbx), Width.Qword);
        code.Mov(Register.Rcx, BareGuest.Scratch);
        code.Store(new MemoryOperand(Register.Rcx), Register.Rdx, Width.Qword);
        code.Exit();
        guest.Run(code);
        Assert.Equal(["W 4093+3", "W 4096+5", "R 4093+3", "R 4096+5"], device.Accesses);
        Assert.Equal(0x1122_3344_5566_7788ul, guest.ReadWord(BareGuest.Scratch));
    }

    [Fact]
    public void H5_what_nobody_claims_reads_as_ones_and_is_counted()
    {
        using var guest = new BareGuest();
        var code = new CodeWriter();
        code.Mov(Register.Rbx, BareGuest.Window);
        code.Load(Register.Rcx, new MemoryOperand(Register.Rbx), Width.Dword);
        code.Store(new MemoryOperand(Register.Rbx), Register.Rcx, Width.Dword);
        code.Mov(Register.Rdx, 0xFFFF);
        code.In(Width.Dword); // the last port and three that do not exist
        code.And(Register.Rax, Register.Rcx);
        code.Mov(Register.Rbx, BareGuest.Scratch);
        code.Store(new MemoryOperand(Register.Rbx), Register.Rax, Width.Qword);
        code.Exit();
        guest.Run(code);
        Assert.Equal(uint.MaxValue, guest.ReadWord(BareGuest.Scratch));
        Assert.Equal((1L, 1L, 1L), (guest.Memory.UnclaimedReads, guest.Memory.UnclaimedWrites, guest.Ports.UnclaimedReads));
    }

    [Fact]
    public void Memory_added_to_a_running_machine_is_the_guests_until_it_is_taken_away()
    {
        const int Tables = 0xA000, FifthGigabyte = 4;
        const ulong Directory = BareGuest.Scratch + 0x1000, UserPage = 7, LargeUserPage = 0x87;
        using var guest = new BareGuest();
        var flag = new BusRecorder(1);
        guest.Ports.Add(Port, 1, flag, "flag");
        var code = new CodeWriter();
        Label wait = code.Here();
        code.In(Port, Width.Byte);
        code.Test(Register.Rax, 1);
        code.J(Condition.Equal, wait);
        code.Mov(Register.Rbx, AddressMap.FourGiB);
        code.Load(Register.Rax, new MemoryOperand(Register.Rbx), Width.Byte);
        code.ExitWithRax();
        guest.Start(code);
        guest.Write(Directory, BitConverter.GetBytes(AddressMap.FourGiB | LargeUserPage));
        guest.Write(Tables + (8 * FifthGigabyte), BitConverter.GetBytes(Directory | UserPage));
        guest.Ram.Add(MachineMemory.AddGranule, guest.Vm.AddMemory);
        guest.Write(AddressMap.FourGiB, [0x5A]);
        flag.Content[0] = 1;
        guest.Wait();
        Assert.Equal(0x5A, guest.ExitValue);
        Assert.Equal(0, guest.Memory.UnclaimedReads);

        guest.Vcpus.Pause();
        guest.Vm.RemoveMemory(guest.Ram.Banks[1]);
        Assert.Throws<ArgumentException>(() => guest.Vm.RemoveMemory(guest.Ram.Banks[1]));
        flag.Content[0] = 0;
        guest.Restart(code);
        guest.Write(Tables + (8 * FifthGigabyte), BitConverter.GetBytes(Directory | UserPage));
        flag.Content[0] = 1;
        guest.Wait();
        Assert.Equal(0xFF, guest.ExitValue);
        Assert.Equal(1, guest.Memory.UnclaimedReads);
    }

    [Fact]
    public void A_doorbell_rings_for_its_value_and_length_without_an_exit()
    {
        using var guest = new BareGuest();
        using var bell = new EventFd();
        using var other = new EventFd();
        guest.Vm.Attach(BareGuest.Window, 4, 3, bell);
        guest.Vm.Attach(BareGuest.Window, 4, 4, other);
        var code = new CodeWriter();
        code.Mov(Register.Rbx, BareGuest.Window);
        code.Store(new MemoryOperand(Register.Rbx), 3, Width.Dword);
        code.Store(new MemoryOperand(Register.Rbx), 5, Width.Dword); // no such value
        code.Store(new MemoryOperand(Register.Rbx), 3, Width.Word); // no such length
        code.Exit();
        guest.Run(code);
        Assert.True(bell.Drain());
        Assert.False(other.Drain());
        Assert.Equal(2, guest.Memory.UnclaimedWrites);
        Assert.Equal(2, guest.Vcpus[0].Counters[KvmExitReason.Mmio]);
    }

    [Fact]
    public void A_doorbell_of_any_length_rings_for_each_until_it_is_detached()
    {
        using var guest = new BareGuest();
        using var bell = new EventFd();
        guest.Vm.Attach(BareGuest.Window, 0, null, bell);
        Assert.Equal(Errno.EEXIST, Assert.Throws<LinuxException>(() => guest.Vm.Attach(BareGuest.Window, 2, null, bell)).Errno);
        var code = new CodeWriter();
        code.Mov(Register.Rbx, BareGuest.Window);
        code.Store(new MemoryOperand(Register.Rbx), 1, Width.Word);
        code.Store(new MemoryOperand(Register.Rbx), 1, Width.Dword);
        code.Exit();
        guest.Run(code);
        Assert.True(bell.Drain());
        Assert.Equal(0, guest.Memory.UnclaimedWrites);
        guest.Vm.Detach(BareGuest.Window, 0, null, bell);
        guest.Restart(code);
        guest.Wait();
        Assert.False(bell.Drain());
        Assert.Equal(2, guest.Memory.UnclaimedWrites);
        Assert.Equal(Errno.ENOENT, Assert.Throws<LinuxException>(() => guest.Vm.Detach(BareGuest.Window, 0, null, bell)).Errno);
    }

    [Fact]
    public void Exits_allocate_nothing()
    {
        const int Turns = 200;
        using var guest = new BareGuest();
        var meter = new AllocationMeter(warmUp: 50);
        guest.Ports.Add(Port, 4, meter, "ports");
        guest.Memory.Add(BareGuest.Window, 8, meter, "memory");
        var code = new CodeWriter();
        code.Mov(Register.Rbx, BareGuest.Window);
        code.Mov(Register.Rcx, Turns);
        Label again = code.Here();
        code.Out(Port, Width.Dword);
        code.In(Port, Width.Byte);
        code.Store(new MemoryOperand(Register.Rbx), Register.Rax, Width.Qword);
        code.Load(Register.Rax, new MemoryOperand(Register.Rbx, 6), Width.Dword);
        code.Sub(Register.Rcx, 1);
        code.J(Condition.NotEqual, again);
        code.Exit();
        guest.Run(code, BootMode.Long); // few instructions between exits: ring 0 is not slower
        Assert.Equal(4 * Turns, meter.Calls);
        Assert.Equal(0, meter.AllocatedBytes);
    }

    private sealed class Stream : IBusDevice
    {
        private byte _next;

        public List<byte> Written { get; } = [];

        public void Read(ulong offset, Span<byte> data) => data[0] = ++_next;

        public void Write(ulong offset, ReadOnlySpan<byte> data) => Written.Add(data[0]);
    }

    /// <summary>Counts what its thread, a vCPU's, has allocated since the runtime compiled everything.</summary>
    private sealed class AllocationMeter(int warmUp) : IBusDevice
    {
        private long _start;

        public int Calls { get; private set; }

        public long AllocatedBytes { get; private set; }

        public void Read(ulong offset, Span<byte> data) => Measure();

        public void Write(ulong offset, ReadOnlySpan<byte> data) => Measure();

        private void Measure()
        {
            long now = GC.GetAllocatedBytesForCurrentThread();
            if (++Calls == warmUp)
            {
                _start = now;
            }

            AllocatedBytes = now - _start;
        }
    }
}
