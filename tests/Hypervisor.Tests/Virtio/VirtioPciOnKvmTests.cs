using System.Buffers.Binary;
using Paravane.Hypervisor.Bare;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Pci;
using Paravane.Hypervisor.Tests.Kvm;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>virtio-pci on the host's KVM: kicks and calls of a guest, while the test does the rest of a driver's work.</summary>
[Trait("Needs", "KVM")]
public sealed class VirtioPciOnKvmTests
{
    private const ulong Bar = AddressMap.Pci32 + 0x10_0000;
    private const uint Table = 0x4000, Pending = 0x5000;

    [Fact]
    public void Used_buffers_reach_the_guest_by_their_vector_masked_moved_and_changed()
    {
        using var guest = new BareGuest();
        using var function = new FakeFunction();
        using var forwarder = new InterruptForwarder();
        (PciBus bus, VirtioPci pci, int slot) = Plug(guest, function, forwarder);
        var port = new GuestInterruptTests.Marks();
        GuestInterruptTests.StartSleeper(guest, port);
        port.Expect(0xFF);
        Start(bus, pci, slot);
        Program(pci, 1, 0);
        Program(pci, 2, 1);
        function.Call(0);
        port.Expect(0);

        Write(pci, Table + 16 + 12, 1, 4); // masked
        function.Call(0);
        function.Call(0);
        port.ExpectNothing();
        Assert.Equal(0b10UL, Read(pci, Pending, 8));
        Program(pci, 1, 2); // moved to another vector of the CPU
        port.Expect(2);
        Assert.Equal(0UL, Read(pci, Pending, 8));
        function.Call(0);
        port.Expect(2);
        Write(pci, Table + 16 + 12, 1, 4);
        Assert.Equal(0UL, Read(pci, Pending, 8));
        Write(pci, Table + 16 + 12, 0, 4);
        port.ExpectNothing();

        Write(pci, 22, 0, 2);
        Write(pci, 26, 2, 2); // another vector of the device
        function.Call(0);
        port.Expect(1);
        Assert.Equal(0, pci.Refusals);

        Assert.True(bus.Remove(slot));
        function.Complete();
        Assert.Equal(KvmInterrupts.Lines, guest.Vm.Interrupts.AllocateGsi()); // all are free again
    }

    [Fact]
    public void A_kick_reaches_the_device_without_an_exit()
    {
        using var guest = new BareGuest();
        using var function = new FakeFunction();
        using var forwarder = new InterruptForwarder();
        (PciBus bus, VirtioPci pci, int slot) = Plug(guest, function, forwarder);
        Start(bus, pci, slot);
        var code = new CodeWriter();
        code.Mov(Register.Rbx, Bar);
        for (int i = 0; i < 5; i++)
        {
            code.Store(new MemoryOperand(Register.Rbx, (int)VirtioPciLayout.Notify + 4), 1, Width.Word);
        }

        code.Load(Register.Rax, new MemoryOperand(Register.Rbx, 20), Width.Byte);
        code.ExitWithRax();
        Assert.Equal(15, guest.Run(code));
        Assert.True(function.WasKicked(1));
        Assert.False(function.WasKicked(0) || function.WasKicked(2));
        guest.Vcpus.Pause();
        Assert.Equal(1, guest.Vcpus[0].Counters[KvmExitReason.Mmio]); // the status register
        Assert.True(bus.Remove(slot));
        function.Complete();
    }

    private static (PciBus Bus, VirtioPci Pci, int Slot) Plug(BareGuest guest, FakeFunction function, InterruptForwarder forwarder)
    {
        var bus = new PciBus(guest.Memory, guest.Vm.Interrupts);
        var pci = new VirtioPci("test", function, guest.Vm.Interrupts, guest.Vm, forwarder);
        Assert.True(bus.TryAdd(pci, out int slot));
        return (bus, pci, slot);
    }

    private static void Start(PciBus bus, VirtioPci pci, int slot)
    {
        ulong config = (ulong)slot << 15;
        Span<byte> address = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(address, Bar);
        bus.Ecam.Write(config + PciConfig.Bar0, address);
        bus.Ecam.Write(config + PciConfig.Command, [(byte)PciConfig.CommandMemory, 0]);
        bus.Ecam.Write(config + 0x42, [0, 0x80]); // MSI-X on
        Write(pci, 20, 3, 1);
        Write(pci, 8, 1, 4);
        Write(pci, 12, VirtioFeatures.Version1 >> 32, 4);
        Write(pci, 20, 11, 1);
        for (uint queue = 0; queue < 3; queue++)
        {
            Write(pci, 22, queue, 2);
            Write(pci, 26, queue + 1, 2);
            Write(pci, 28, 1, 2);
        }

        Write(pci, 20, 15, 1);
        Assert.Equal(15UL, Read(pci, 20, 1));
    }

    private static void Program(VirtioPci pci, uint vector, int number)
    {
        MsiMessage message = GuestInterruptTests.ToVector(number);
        Write(pci, Table + (16 * vector), message.AddressLow, 8);
        Write(pci, Table + (16 * vector) + 8, message.Data, 8);
    }

    private static ulong Read(VirtioPci pci, uint offset, int lengthBytes)
    {
        Span<byte> data = stackalloc byte[8];
        data.Clear();
        pci.Read(offset, data[..lengthBytes]);
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    private static void Write(VirtioPci pci, uint offset, ulong value, int lengthBytes)
    {
        Span<byte> data = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        pci.Write(offset, data[..lengthBytes]);
    }
}
