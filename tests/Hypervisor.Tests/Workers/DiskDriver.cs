using System.Buffers.Binary;
using System.Diagnostics;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Tests.Virtio;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>A guest's disk driver on one queue: up to sixteen requests of a block of 4 KiB under way, completions by call.</summary>
internal sealed class DiskDriver<TRing> : IDisposable
    where TRing : struct, IDriverRing<TRing>
{
    public const int Depth = 16;

    public const int BlockBytes = 4096;

    private readonly FrontendQueue _layout;
    private readonly GuestArea[] _headers = new GuestArea[Depth];
    private readonly GuestArea[] _data = new GuestArea[Depth];
    private readonly bool[] _busy = new bool[Depth];
    private readonly VhostUserFunction _device;
    private TRing _ring;

    public DiskDriver(WorkerRig rig, int index, ulong features)
    {
        _device = rig.Device;
        _layout = new FrontendQueue(rig.Ram, index, 64, features);
        _ring = TRing.Open(_layout.Ring);
        for (int i = 0; i < Depth; i++)
        {
            _headers[i] = rig.Ram.Allocate(64);
            _data[i] = rig.Ram.Allocate(BlockBytes, 4096);
        }
    }

    public VirtqueueSetup Setup => new(_layout.Index, 64, _layout.Ring.DescriptorArea, _layout.Ring.DriverArea, _layout.Ring.DeviceArea, _layout.Call);

    public int Busy => _busy.Count(busy => busy);

    public Span<byte> Data(int slot) => _data[slot].AsSpan();

    public bool IsFree(int slot) => !_busy[slot];

    /// <summary>Offers a read or a write of one block.</summary>
    public void Submit(int slot, bool write, ulong block)
    {
        Span<byte> header = _headers[slot].AsSpan();
        BinaryPrimitives.WriteUInt32LittleEndian(header, write ? 1u : 0u);
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], block * (BlockBytes / 512));
        header[32] = 0xff;
        DriverBuffer[] chain =
        [
            new(_headers[slot].Guest, 16),
            new(_data[slot].Guest, BlockBytes),
            new(_headers[slot].Slice(32, 1).Guest, 1),
        ];
        Assert.True(_ring.TryAdd(chain, write ? 2 : 1, (ushort)slot));
        _busy[slot] = true;
        if (_ring.Publish())
        {
            _device.KickOf(_layout.Index).Signal();
        }
    }

    /// <summary>Waits by call, as a guest does, until a request has completed, and collects all that have.</summary>
    public List<int> Collect()
    {
        var done = new List<int>();
        long deadline = Stopwatch.GetTimestamp() + (long)(Wait.Limit.TotalSeconds * Stopwatch.Frequency);
        while (true)
        {
            while (_ring.TryGetUsed(out ushort slot, out _))
            {
                Assert.True(_busy[slot], $"request {slot} came back twice");
                Assert.Equal(0, _headers[slot].AsSpan()[32]); // VIRTIO_BLK_S_OK
                _busy[slot] = false;
                done.Add(slot);
            }

            Assert.Equal(DriverFault.None, _ring.Fault);
            if (done.Count > 0)
            {
                return done;
            }

            if (_ring.TryArmCall())
            {
                Assert.True(Polling.WaitUntil(_layout.Call.Number, LibC.POLLIN, deadline), "no completion came");
                _layout.Call.Drain();
            }
        }
    }

    public void Dispose() => _layout.Dispose();
}
