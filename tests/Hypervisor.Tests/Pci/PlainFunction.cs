using System.Buffers.Binary;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Pci;

namespace Paravane.Hypervisor.Tests.Pci;

/// <summary>A function with a 64-bit BAR 0 and a 32-bit BAR 2 which answer with their number and the offset.</summary>
internal sealed class PlainFunction : PciFunction
{
    private Action? _stopped;

    public PlainFunction()
        : base("plain", 0x1234, 0x5678, 0x0A0B0C, revision: 3)
    {
        AddIntx();
        AddBar(new PciBar(0, is64: true, 0x8000, new Echo(0x10000)));
        AddBar(new PciBar(2, is64: false, 0x1000, new Echo(0x20000)));
    }

    public List<string> Moves { get; } = [];

    /// <summary>Its device goes on until <see cref="Stop"/>, as one does that has requests under way.</summary>
    public bool IsBusy { get; init; }

    public void Interrupt(bool wanted)
    {
        lock (Gate)
        {
            SetIntx(wanted);
        }
    }

    /// <summary>The device has stopped.</summary>
    public void Stop() => _stopped!();

    protected override Action? OnDetach(Action done) => OnReset(done);

    protected override Action? OnReset(Action done)
    {
        _stopped = done;
        return IsBusy ? null : done;
    }

    protected override void OnMapped(PciBar bar) => Moves.Add($"{bar.Index} at 0x{bar.Address:x}");

    protected override void OnUnmapped(PciBar bar) => Moves.Add($"{bar.Index} gone from 0x{bar.Address:x}");

    private sealed class Echo(uint mark) : IBusDevice
    {
        public void Read(ulong offset, Span<byte> data) => BinaryPrimitives.WriteUInt32LittleEndian(data, mark | (uint)offset);

        public void Write(ulong offset, ReadOnlySpan<byte> data)
        {
        }
    }
}
