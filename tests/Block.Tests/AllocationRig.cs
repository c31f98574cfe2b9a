using System.Buffers.Binary;
using Paravane.Backends.Block.Spec;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Backends.Block.Tests;

/// <summary>A driver that keeps a queue busy with reads, writes and flushes and allocates nothing itself.</summary>
internal sealed class AllocationRig<TDriver> : IDisposable
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int Depth = 32;
    private const uint DataBytes = 4096;
    private const uint SlotBytes = 8192;

    private readonly BlockDevice _device;
    private readonly GuestRam _ram = new();
    private readonly IQueueLoop _loop;
    private readonly GuestAddress _slots;
    private readonly UsedChain[] _used = new UsedChain[Depth];
    private TDriver _driver;

    public AllocationRig(Store store)
    {
        _device = new BlockDevice(store, new BlockDeviceOptions());
        ulong features = _device.Traits.Features;
        features = typeof(TDriver) == typeof(PackedDriver) ? features : features & ~VirtioFeatures.RingPacked;
        DriverRingConfig layout = DriverRingConfig.Lay(_ram.Table, _ram.Allocate(DriverRingConfig.BytesNeeded(256, features), 4096), 256, features);
        _driver = TDriver.Open(layout);
        _loop = _device.StartQueue(layout.ToQueueConfig(), _ram.Table);
        _loop.Queue.Enabled = true;
        _slots = _ram.Allocate(Depth * SlotBytes, 4096);
    }

    public int Errors { get; private set; }

    /// <summary>Runs <paramref name="requests"/> requests, rounded up to whole rounds of 32.</summary>
    public void Run(int requests)
    {
        Span<byte> header = stackalloc byte[16];
        Span<byte> status = stackalloc byte[1];
        for (int done = 0; done < requests; done += Depth)
        {
            for (int i = 0; i < Depth; i++)
            {
                BlkRequestType type = (i % 8) switch { 7 => BlkRequestType.Flush, < 4 => BlkRequestType.In, _ => BlkRequestType.Out };
                GuestAddress at = Slot(i, 0), data = Slot(i, 4096), answer = Slot(i, 64);
                BinaryPrimitives.WriteUInt32LittleEndian(header, (uint)type);
                BinaryPrimitives.WriteUInt64LittleEndian(header[8..], (ulong)((done + i) % 200) * 8);
                _ram.Table.TryWrite(at, header);
                ReadOnlySpan<DriverBuffer> buffers = type == BlkRequestType.Flush
                    ? [new DriverBuffer(at, 16), new DriverBuffer(answer, 1)]
                    : [new DriverBuffer(at, 16), new DriverBuffer(data, DataBytes), new DriverBuffer(answer, 1)];
                if (!_driver.TryAdd(buffers, type == BlkRequestType.Out ? 2 : 1, (ushort)i))
                {
                    Errors++;
                }
            }

            _driver.Publish();
            for (int left = Depth; left > 0;)
            {
                _loop.RunBatch();
                int count = _driver.GetUsedBurst(_used);
                for (int i = 0; i < count; i++)
                {
                    _ram.Table.TryRead(Slot(_used[i].Cookie, 64), status);
                    Errors += status[0];
                }

                left -= count;
            }
        }
    }

    public void Dispose()
    {
        _loop.Dispose();
        _device.Dispose();
        _ram.Dispose();
        Assert.Equal(0, Errors);
    }

    private GuestAddress Slot(int index, uint offset) => new(_slots.Value + ((ulong)index * SlotBytes) + offset);
}
