using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Tests.Virtio;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Driver;

namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>A guest's driver on the control queue of a NIC: one command at a time.</summary>
internal sealed class ControlDriver<TRing> : IDisposable
    where TRing : struct, IDriverRing<TRing>
{
    private const ushort QueueSize = 16;
    private const int AnswerOffset = 64;

    private readonly VhostUserFunction _device;
    private readonly FrontendQueue _layout;
    private readonly GuestArea _room;
    private TRing _ring;

    public ControlDriver(WorkerRig rig, ulong features)
    {
        _device = rig.Device;
        _layout = new FrontendQueue(rig.Ram, rig.Device.QueueCount - 1, QueueSize, features);
        _room = rig.Ram.Allocate(4096);
        _ring = TRing.Open(_layout.Ring);
    }

    public VirtqueueSetup Setup => new(_layout.Index, QueueSize, _layout.Ring.DescriptorArea, _layout.Ring.DriverArea, _layout.Ring.DeviceArea, _layout.Call);

    /// <summary>Sends a command and waits for the answer.</summary>
    /// <returns>0: it was carried out.</returns>
    public byte Send(params ReadOnlySpan<byte> command)
    {
        command.CopyTo(_room.AsSpan());
        _room.AsSpan()[AnswerOffset] = 0xee;
        DriverBuffer[] chain = [new(_room.Guest, (uint)command.Length), new(_room.Slice(AnswerOffset, 1).Guest, 1)];
        Assert.True(_ring.TryAdd(chain, 1, 0));
        if (_ring.Publish())
        {
            _device.KickOf(_layout.Index).Signal();
        }

        Wait.Until(() => _ring.TryGetUsed(out _, out _));
        return _room.AsSpan()[AnswerOffset];
    }

    public void Dispose() => _layout.Dispose();
}
