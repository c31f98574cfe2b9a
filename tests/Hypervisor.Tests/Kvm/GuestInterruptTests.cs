using Paravane.Hypervisor.Bare;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Kvm;

/// <summary>Interrupts that reach a handler in a guest.</summary>
[Trait("Needs", "KVM")]
public sealed class GuestInterruptTests
{
    private const byte Port = 0xE0;
    private const ulong Table = 0x19_0000, Handlers = 0x1A_0000;
    private const int FirstVector = 0x40;

    [Fact]
    public void A_signal_becomes_the_message_that_its_route_says()
    {
        using var guest = new BareGuest();
        var port = new Marks();
        StartSleeper(guest, port);
        using var signal = new EventFd();
        int gsi = guest.Vm.Interrupts.AllocateGsi();
        Assert.True(gsi >= KvmInterrupts.Lines);
        guest.Vm.Interrupts.SetMessage(gsi, ToVector(0));
        guest.Vm.Interrupts.Attach(gsi, signal);
        port.Expect(0xFF);
        signal.Signal();
        port.Expect(0);

        // Another vector, without a pause: what MSI-X does when a driver moves an interrupt.
        guest.Vm.Interrupts.SetMessage(gsi, ToVector(2));
        signal.Signal();
        port.Expect(2);

        guest.Vm.Interrupts.Detach(gsi, signal);
        signal.Signal();
        Assert.True(signal.Drain()); // it stays there
        guest.Vm.Interrupts.FreeGsi(gsi);
        port.ExpectNothing();
    }

    [Fact]
    public void What_was_signalled_while_masked_comes_once_when_unmasked()
    {
        using var guest = new BareGuest();
        var port = new Marks();
        StartSleeper(guest, port);
        port.Expect(0xFF);
        using var signal = new EventFd();
        int gsi = guest.Vm.Interrupts.AllocateGsi();
        signal.Signal();
        signal.Signal();
        guest.Vm.Interrupts.SetMessage(gsi, ToVector(1));
        guest.Vm.Interrupts.Attach(gsi, signal);
        port.Expect(1);
        guest.Vm.Interrupts.Detach(gsi, signal);
        Assert.False(signal.Drain());
        guest.Vm.Interrupts.Attach(gsi, signal);
        port.ExpectNothing();
    }

    [Fact]
    public void A_route_is_there_before_and_after_a_signal()
    {
        using var guest = new BareGuest();
        KvmInterrupts interrupts = guest.Vm.Interrupts;
        using var signal = new EventFd();
        int gsi = interrupts.AllocateGsi();
        Assert.Throws<InvalidOperationException>(() => interrupts.Attach(gsi, signal));
        interrupts.SetMessage(gsi, ToVector(0));
        interrupts.Attach(gsi, signal);
        Assert.Equal(Errno.EBUSY, Assert.Throws<LinuxException>(() => interrupts.Attach(gsi, signal)).Errno);
        Assert.Throws<InvalidOperationException>(() => interrupts.SetMessage(gsi, null));
        Assert.Throws<InvalidOperationException>(() => interrupts.FreeGsi(gsi));
        interrupts.Detach(gsi, signal);
        interrupts.FreeGsi(gsi);
        Assert.Equal(gsi, interrupts.AllocateGsi());
        Assert.NotEqual(gsi, interrupts.AllocateGsi());
        Assert.Throws<ArgumentOutOfRangeException>(() => interrupts.SetMessage(23, ToVector(0)));
        Assert.Throws<ArgumentOutOfRangeException>(() => interrupts.SetLine(24, true));
    }

    [Fact]
    public void A_wire_reaches_the_guest_beside_message_routes()
    {
        using var guest = new BareGuest();
        var port = new Marks();
        StartSleeper(guest, port, code =>
        {
            // A PIC that nobody set up takes the wire, too, and gives vector 5: mask both. Then IOAPIC pin 5: edge, vector, to APIC 0.
            code.Mov(Register.Rax, 0xFF);
            code.Out(0x21, Width.Byte);
            code.Out(0xA1, Width.Byte);
            code.Mov(Register.Rbx, 0xFEC0_0000);
            code.Store(new MemoryOperand(Register.Rbx), 0x10 + (2 * 5), Width.Dword);
            code.Store(new MemoryOperand(Register.Rbx, 0x10), FirstVector + 1, Width.Dword);
        });
        port.Expect(0xFF);
        int gsi = guest.Vm.Interrupts.AllocateGsi();
        guest.Vm.Interrupts.SetMessage(gsi, ToVector(0));
        guest.Vm.Interrupts.SetLine(5, true);
        guest.Vm.Interrupts.SetLine(5, false);
        Assert.Null(guest.Vcpus.Stopped);
        port.Expect(1);
        using var signal = new EventFd();
        guest.Vm.Interrupts.Attach(5, signal);
        signal.Signal();
        port.Expect(1);
        guest.Vm.Interrupts.Detach(5, signal);
    }

    /// <summary>A guest that writes 0xFF when it is ready and then the number of each interrupt.</summary>
    internal static void StartSleeper(BareGuest guest, Marks port, Action<CodeWriter>? prepare = null)
    {
        guest.Ports.Add(Port, 1, port, "marks");
        var handlers = new CodeWriter();
        for (int i = 0; i < 3; i++)
        {
            guest.Write(Table + (16 * (ulong)(FirstVector + i)), GuestCode.Gate(Handlers + (ulong)handlers.Offset));
            handlers.Handler(Port, i);
        }

        guest.Load(handlers, Handlers);
        var code = new CodeWriter();
        code.EnableApic();
        code.LoadInterruptTable(Table);
        prepare?.Invoke(code);
        code.Sti();
        code.Mov(Register.Rax, 0xFF);
        code.Out(Port, Width.Byte);
        code.Sleep();
        guest.Start(code, BootMode.Long);
    }

    /// <summary>The message that makes that guest write <paramref name="number"/>.</summary>
    internal static MsiMessage ToVector(int number) => new(0xFEE0_0000, 0, (uint)(FirstVector + number));

    /// <summary>Bytes that a guest wrote, in order.</summary>
    internal sealed class Marks : IBusDevice
    {
        private readonly System.Collections.Concurrent.BlockingCollection<int> _written = [];

        public void Expect(int value)
        {
            Assert.True(_written.TryTake(out int next, TimeSpan.FromSeconds(20)), $"no {value} came");
            Assert.Equal(value, next);
        }

        public void ExpectNothing() => Assert.False(_written.TryTake(out int next, TimeSpan.FromMilliseconds(5)), $"{next} came");

        public void Read(ulong offset, Span<byte> data) => data.Clear();

        public void Write(ulong offset, ReadOnlySpan<byte> data) => _written.Add(data[0]);
    }
}
