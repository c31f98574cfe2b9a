using System.Buffers.Binary;
using Paravane.Hypervisor.Pci;

namespace Paravane.Hypervisor.Tests.Pci;

/// <summary>A bus, and the guest's side of it.</summary>
internal class PciRig : IDisposable
{
    public PciRig() => Bus = new PciBus(Windows, Interrupts);

    public FakeWindows Windows { get; } = new();

    public FakeInterrupts Interrupts { get; } = new();

    public PciBus Bus { get; }

    public ulong Ecam(int slot, int register, int lengthBytes = 4, int function = 0)
    {
        Span<byte> data = stackalloc byte[8];
        data.Clear();
        Bus.Ecam.Read(((ulong)slot << 15) | ((ulong)function << 12) | (uint)register, data[..lengthBytes]);
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    public void SetEcam(int slot, int register, ulong value, int lengthBytes = 4)
    {
        Span<byte> data = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        Bus.Ecam.Write(((ulong)slot << 15) | (uint)register, data[..lengthBytes]);
    }

    public ulong Port(int port, int lengthBytes)
    {
        Span<byte> data = stackalloc byte[8];
        data.Clear();
        Bus.Ports.Read((ulong)port - PciConfigPorts.FirstPort, data[..lengthBytes]);
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    public void SetPort(int port, ulong value, int lengthBytes)
    {
        Span<byte> data = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        Bus.Ports.Write((ulong)port - PciConfigPorts.FirstPort, data[..lengthBytes]);
    }

    public ulong Memory(ulong address, int lengthBytes)
    {
        Span<byte> data = stackalloc byte[8];
        data.Clear();
        Windows.Read(address, data[..lengthBytes]);
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    public void SetMemory(ulong address, ulong value, int lengthBytes)
    {
        Span<byte> data = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        Windows.Write(address, data[..lengthBytes]);
    }

    public ulong Bar64(int slot, int bar = 0) => Ecam(slot, PciConfig.Bar0 + (4 * bar), 8) & ~0xFUL;

    public void Decode(int slot, bool on) => SetEcam(slot, PciConfig.Command, on ? PciConfig.CommandMemory : 0u, 2);

    public virtual void Dispose()
    {
        Assert.Empty(Interrupts.Violations);
        Interrupts.Dispose();
        GC.SuppressFinalize(this);
    }
}
