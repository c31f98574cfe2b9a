using System.Buffers.Binary;
using System.Diagnostics;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;
using Paravane.Peers;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;
using Tmds.Linux;

namespace Paravane.Benchmarks;

/// <summary>A disk behind a worker of its own, driven in this process with a full queue of reads, whose worker is killed.</summary>
internal sealed class RestartRig : IDisposable
{
    private const ulong Features = VirtioFeatures.Version1 | VirtioFeatures.EventIdx;
    private const int Depth = 32, BlockBytes = 4096, QueueSize = 128, Blocks = 1024, HeaderBytes = 16, StatusAt = 32;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    private readonly GuestRam _ram;
    private readonly VhostUserFunction _device;
    private readonly FrontendQueue _layout;
    private readonly GuestArea[] _headers = new GuestArea[Depth];
    private readonly GuestArea[] _data = new GuestArea[Depth];
    private readonly Random _random = new(1);
    private SplitDriver _ring;

    /// <summary>Starts the worker and fills its queue.</summary>
    /// <param name="image">File of at least 4 MiB.</param>
    public RestartRig(string image)
    {
        _ram = GuestRam.Create(4 << 20);
        _device = VhostUserFunction.Open(
            new VhostUserOptions { Name = "disk0", DeviceId = VhostUserOptions.BlockDevice, Frontend = WorkerTuning.Frontend, Log = static _ => { } },
            new WorkerProcess(Programs.Block, [$"--blk-file={image}"]),
            _ram.Regions);
        _layout = new FrontendQueue(_ram, 0, QueueSize, Features);
        _ring = SplitDriver.Open(_layout.Ring);
        for (int slot = 0; slot < Depth; slot++)
        {
            _headers[slot] = _ram.Allocate(64);
            _data[slot] = _ram.Allocate(BlockBytes, BlockBytes);
        }

        _device.Start(Features, [new VirtqueueSetup(0, QueueSize, _layout.Ring.DescriptorArea, _layout.Ring.DriverArea, _layout.Ring.DeviceArea, _layout.Call)]);
        for (int slot = 0; slot < Depth; slot++)
        {
            Submit((ushort)slot);
        }

        Kick();
        Serve(TimeSpan.FromMilliseconds(100));
    }

    /// <summary>Kills the worker in the midst of its requests.</summary>
    /// <returns>Milliseconds from the new connection, and from the kill, to the first request that completes then.</returns>
    public (double FromConnection, double FromKill) Kill()
    {
        long before = _device.Counters.ConnectedAt;
        long killed = Stopwatch.GetTimestamp();
        if (LibC.kill(_device.WorkerProcessId!.Value, 9) < 0)
            throw new PeerException("the worker cannot be killed");

        // What the dying worker completed comes first. Only a completion after the new connection counts.
        while (true)
        {
            WaitForCall(killed);
            long now = Stopwatch.GetTimestamp();
            if (Collect() > 0 && _device.Counters.ConnectedAt is var connected && connected != before && now > connected)
            {
                var result = (Stopwatch.GetElapsedTime(connected, now).TotalMilliseconds, Stopwatch.GetElapsedTime(killed, now).TotalMilliseconds);
                Serve(TimeSpan.FromMilliseconds(100));
                return result;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _device.Dispose();
        _layout.Dispose();
        _ram.Dispose();
    }

    /// <summary>Keeps the queue full for a while.</summary>
    private void Serve(TimeSpan time)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < time)
        {
            WaitForCall(start);
            _ = Collect();
        }
    }

    private void WaitForCall(long since)
    {
        long deadline = since + (long)(s_patience.TotalSeconds * Stopwatch.Frequency);
        if (_ring.TryArmCall() && !Polling.WaitUntil(_layout.Call.Number, LibC.POLLIN, deadline))
            throw new PeerException($"no request completed within {s_patience.TotalSeconds} s: {_device.Counters.LastError}");
        _layout.Call.Drain();
    }

    /// <summary>Takes what has completed and asks for as much again.</summary>
    private int Collect()
    {
        int count = 0;
        while (_ring.TryGetUsed(out ushort slot, out _))
        {
            if (_headers[slot].AsSpan()[StatusAt] != 0)
                throw new PeerException($"a request failed with status {_headers[slot].AsSpan()[StatusAt]}");
            Submit(slot);
            count++;
        }

        if (_ring.Fault != DriverFault.None)
            throw new PeerException($"the ring is broken: {_ring.Fault}");
        Kick();
        return count;
    }

    private void Submit(ushort slot)
    {
        Span<byte> header = _headers[slot].AsSpan();
        BinaryPrimitives.WriteUInt32LittleEndian(header, 0); // VIRTIO_BLK_T_IN
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], (ulong)_random.Next(Blocks) * (BlockBytes / 512));
        header[StatusAt] = 0xFF;
        DriverBuffer[] chain = [new(_headers[slot].Guest, HeaderBytes), new(_data[slot].Guest, BlockBytes), new(_headers[slot].Slice(StatusAt, 1).Guest, 1)];
        if (!_ring.TryAdd(chain, 1, slot))
            throw new PeerException("the ring is full");
    }

    private void Kick()
    {
        if (_ring.Publish())
            _device.KickOf(0).Signal();
    }
}
