using System.Diagnostics;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>A guest's network driver on one pair of queues: frames of one buffer each, up to sixteen under way in each direction, completions by call.</summary>
internal sealed class NetDriver<TRing> : IDisposable
    where TRing : struct, IDriverRing<TRing>
{
    public const int Depth = 16;

    private const int HeaderBytes = 12, BufferBytes = 2048;
    private const ushort QueueSize = 64;

    private readonly VhostUserFunction _device;
    private readonly FrontendQueue _receive, _transmit;
    private readonly GuestArea[] _in = new GuestArea[Depth];
    private readonly GuestArea[] _out = new GuestArea[Depth];
    private readonly Queue<ushort> _free = new();
    private TRing _receiveRing, _transmitRing;

    public NetDriver(WorkerRig rig, ulong features, int pair = 0)
    {
        _device = rig.Device;
        _receive = new FrontendQueue(rig.Ram, 2 * pair, QueueSize, features);
        _transmit = new FrontendQueue(rig.Ram, (2 * pair) + 1, QueueSize, features);
        _receiveRing = TRing.Open(_receive.Ring);
        _transmitRing = TRing.Open(_transmit.Ring);
        for (ushort slot = 0; slot < Depth; slot++)
        {
            _in[slot] = rig.Ram.Allocate(BufferBytes, BufferBytes);
            _out[slot] = rig.Ram.Allocate(BufferBytes, BufferBytes);
            _free.Enqueue(slot);
            Offer(slot);
        }
    }

    /// <summary>Every frame that was sent has been taken by the device.</summary>
    public bool IsIdle
    {
        get
        {
            Reclaim();
            return _free.Count == Depth;
        }
    }

    public IEnumerable<VirtqueueSetup> Setups => [SetupOf(_receive), SetupOf(_transmit)];

    /// <summary>Tells the device of the receive buffers; once it is started.</summary>
    public void Begin()
    {
        _ = _receiveRing.Publish();
        _device.KickOf(_receive.Index).Signal();
    }

    /// <summary>Sends a frame; when all buffers are under way it waits for one, for as long as a test may.</summary>
    /// <returns>False: none came free.</returns>
    public bool TrySend(ReadOnlySpan<byte> frame)
    {
        Reclaim();
        if (!_free.TryDequeue(out ushort slot))
        {
            return false;
        }

        Span<byte> buffer = _out[slot].AsSpan();
        buffer[..HeaderBytes].Clear();
        frame.CopyTo(buffer[HeaderBytes..]);
        DriverBuffer[] chain = [new(_out[slot].Guest, (uint)(HeaderBytes + frame.Length))];
        Assert.True(_transmitRing.TryAdd(chain, 1, slot));
        if (_transmitRing.Publish())
        {
            _device.KickOf(_transmit.Index).Signal();
        }

        return true;
    }

    /// <summary>Waits by call for a frame.</summary>
    /// <returns>The frame, or null: none came within <paramref name="patience"/>.</returns>
    public byte[]? Receive(TimeSpan patience)
    {
        long deadline = Stopwatch.GetTimestamp() + (long)(patience.TotalSeconds * Stopwatch.Frequency);
        while (true)
        {
            if (_receiveRing.TryGetUsed(out ushort slot, out uint length))
            {
                Assert.InRange((int)length, HeaderBytes, BufferBytes);
                byte[] frame = _in[slot].AsSpan()[HeaderBytes..(int)length].ToArray();
                Offer(slot);
                if (_receiveRing.Publish())
                {
                    _device.KickOf(_receive.Index).Signal();
                }

                return frame;
            }

            Assert.Equal(DriverFault.None, _receiveRing.Fault);
            if (_receiveRing.TryArmCall())
            {
                if (!Polling.WaitUntil(_receive.Call.Number, LibC.POLLIN, deadline))
                {
                    return null;
                }

                _receive.Call.Drain();
            }
        }
    }

    private void Reclaim()
    {
        while (_transmitRing.TryGetUsed(out ushort done, out _))
        {
            _free.Enqueue(done);
        }

        Assert.Equal(DriverFault.None, _transmitRing.Fault);
    }

    public void Dispose()
    {
        _receive.Dispose();
        _transmit.Dispose();
    }

    private static VirtqueueSetup SetupOf(FrontendQueue queue) =>
        new(queue.Index, QueueSize, queue.Ring.DescriptorArea, queue.Ring.DriverArea, queue.Ring.DeviceArea, queue.Call);

    private void Offer(ushort slot)
    {
        DriverBuffer[] chain = [new(_in[slot].Guest, BufferBytes)];
        Assert.True(_receiveRing.TryAdd(chain, 0, slot));
    }
}
