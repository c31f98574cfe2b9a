using System.Runtime.CompilerServices;
using Paravane.Backends.Block.Spec;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block;

/// <summary>Serves one request queue: parses requests from bytes, hands them to the store, answers in whatever order the store finishes.</summary>
/// <remarks>Worker thread only. One compiled body for each ring format and store; nothing in a turn allocates, throws or calls virtually.</remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
/// <typeparam name="TStore">The medium, as this queue sees it.</typeparam>
internal sealed class BlockLoop<TRing, TStore> : IQueueLoop
    where TRing : struct, IRing<TRing>
    where TStore : struct, IStoreQueue
{
    /// <summary>Requests of one turn: enough to overlap the cache misses of a pass, few enough that the driver gets answers while it adds more.</summary>
    private const int Burst = 32;

    /// <summary>Data bytes after which a turn ends early, so that orders and other queues wait for about 100 µs of copying at most.</summary>
    private const ulong TurnBytes = 1 << 20;

    private readonly Virtqueue<TRing> _queue;
    private readonly BlockDevice _device;
    private readonly ulong _capacitySectors;
    private readonly bool _readOnly;
    private readonly bool _flush;
    private readonly bool _configWce;
    private readonly bool _discard;
    private readonly bool _writeZeroes;
    private readonly BlkSegment[] _segments = new BlkSegment[BlockLimits.MaxSegments];
    private TStore _store;
    private int _completed; // not published yet
    private ulong _turnBytes;

    public BlockLoop(BlockDevice device, QueueConfig config, GuestMemory memory, TStore store)
    {
        _queue = new Virtqueue<TRing>(config, memory);
        _device = device;
        _store = store;
        _capacitySectors = device.CapacitySectors;
        _readOnly = device.IsReadOnly;
        _flush = config.Has(BlkFeatures.Flush);
        _configWce = config.Has(BlkFeatures.ConfigWce);
        _discard = config.Has(BlkFeatures.Discard);
        _writeZeroes = config.Has(BlkFeatures.WriteZeroes);
    }

    /// <inheritdoc/>
    public Virtqueue Queue => _queue;

    /// <inheritdoc/>
    public int WakeDescriptor => TStore.Waits ? _store.WakeDescriptor : -1;

    /// <summary>
    /// Each write is durable before it completes (virtio 1.2 §5.2.6.2): the driver turned the volatile cache off, or has neither a
    /// flush nor that switch.
    /// </summary>
    private bool IsWriteThrough => !(_configWce ? _device.IsWriteback(_flush) : _flush);

    /// <inheritdoc/>
    public bool RunBatch()
    {
        _store.BeginTurn();
        bool worked = TStore.Waits && Reap();
        int count = _queue.Enabled && !_store.HasBacklog ? _queue.Fill(Burst) : 0;
        if (count != 0)
        {
            worked = true;
            Serve(Math.Min(count, Burst));
        }

        // One kernel entry for the burst; what finished meanwhile is answered in the same publication.
        if (TStore.Waits && _store.Submit())
        {
            worked = true;
            Reap();
        }

        if (_completed != 0)
        {
            _completed = 0;
            _queue.Publish();
        }

        return worked;
    }

    /// <inheritdoc/>
    public bool TryArm() => _queue.TryArm() && (!TStore.Waits || _store.TryArm());

    /// <inheritdoc/>
    public void Disarm()
    {
        _queue.Disarm();
        if (TStore.Waits)
        {
            _store.Disarm();
        }
    }

    /// <inheritdoc/>
    public void OnMemoryChanged() => _store.OnMemoryChanged(_queue.Memory);

    /// <inheritdoc/>
    public void Dispose()
    {
        // First the store: it waits for what the kernel still does in the guest's pages.
        _store.Dispose();
        _queue.Dispose();
        _device.EndQueue();
    }

    private void Serve(int count)
    {
        // All header and status lines start to move before the first is needed.
        for (int i = 0; i < count; i++)
        {
            Chain chain = _queue.Peek(i);
            chain.Readable.Prefetch();
            chain.Writable.PrefetchLast();
        }

        _store.Begin(count);
        _turnBytes = 0;
        int served = 0;
        while (served < count && _turnBytes < TurnBytes)
        {
            Handle(_queue.Peek(served++));
        }

        _queue.Consume(served);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Handle(Chain chain)
    {
        BufferList readable = chain.Readable, writable = chain.Writable;
        if (writable.LengthBytes == 0)
        {
            BreakForLackOfStatus(chain);
            return;
        }

        uint writtenBytes = 0;
        BlkStatus status;
        if (!readable.TryRead(0, out BlkRequestHeader header))
        {
            status = Refuse(BlkStatus.IoError);
        }
        else if (header.Type == BlkRequestType.In)
        {
            uint lengthBytes = writable.LengthBytes - 1;
            _turnBytes += lengthBytes;
            status = IsTransferValid(header.Sector, lengthBytes)
                ? _store.Read(chain.Token.Slot, writable, lengthBytes, header.Sector * BlockLimits.SectorBytes, out writtenBytes)
                : Refuse(BlkStatus.IoError);
        }
        else if (header.Type == BlkRequestType.Out)
        {
            uint lengthBytes = readable.LengthBytes - BlkRequestHeader.SizeBytes;
            _turnBytes += lengthBytes;
            status = !_readOnly && IsTransferValid(header.Sector, lengthBytes)
                ? _store.Write(chain.Token.Slot, readable, BlkRequestHeader.SizeBytes, lengthBytes, header.Sector * BlockLimits.SectorBytes, IsWriteThrough)
                : Refuse(BlkStatus.IoError);
        }
        else
        {
            status = HandleRare(chain, header.Type, out writtenBytes);
        }

        if (!TStore.Waits || status != BlkStatus.Pending)
        {
            Answer(chain.Token, writable, status, writtenBytes);
        }
    }

    /// <summary>Whole sectors, at least one, all of them inside the disk. No product or sum can overflow.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsTransferValid(ulong sector, uint lengthBytes) =>
        (lengthBytes & (BlockLimits.SectorBytes - 1)) == 0 && lengthBytes != 0 && IsInside(sector, lengthBytes / BlockLimits.SectorBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsInside(ulong sector, uint sectors) => sector <= _capacitySectors && sectors <= _capacitySectors - sector;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private BlkStatus HandleRare(Chain chain, BlkRequestType type, out uint writtenBytes)
    {
        writtenBytes = 0;
        switch (type)
        {
            case BlkRequestType.Flush:
                return _flush ? _store.Flush(chain.Token.Slot) : Refuse(BlkStatus.Unsupported);

            case BlkRequestType.GetId:
                int room = (int)Math.Min(chain.WritableBytes - 1, BlockLimits.SerialBytes);
                writtenBytes = (uint)chain.Writable.CopyFrom(0, _device.Serial[..room]);
                return BlkStatus.Ok;

            case BlkRequestType.Discard:
                return HandleSegments(chain, _discard, BlockLimits.MaxDiscardSectors, allowedFlags: 0, discard: true);

            case BlkRequestType.WriteZeroes:
                return HandleSegments(chain, _writeZeroes, BlockLimits.MaxWriteZeroesSectors, BlkSegment.UnmapFlag, discard: false);

            default:
                return Refuse(BlkStatus.Unsupported);
        }
    }

    private BlkStatus HandleSegments(Chain chain, bool negotiated, uint maxSectors, uint allowedFlags, bool discard)
    {
        if (_readOnly)
        {
            return Refuse(BlkStatus.IoError);
        }

        if (!negotiated)
        {
            return Refuse(BlkStatus.Unsupported);
        }

        BufferList readable = chain.Readable;
        uint lengthBytes = readable.LengthBytes - BlkRequestHeader.SizeBytes;
        uint count = lengthBytes / BlkSegment.SizeBytes;
        if (lengthBytes % BlkSegment.SizeBytes != 0 || count is 0 or > BlockLimits.MaxSegments)
        {
            return Refuse(BlkStatus.IoError);
        }

        // All segments are copied and checked before the first is carried out: a bad last one changes nothing.
        for (int i = 0; i < (int)count; i++)
        {
            _ = readable.TryRead(BlkRequestHeader.SizeBytes + ((uint)i * BlkSegment.SizeBytes), out BlkSegment segment);
            if ((segment.Flags & ~allowedFlags) != 0)
            {
                return Refuse(BlkStatus.Unsupported);
            }

            if (segment.Sectors > maxSectors || !IsInside(segment.Sector, segment.Sectors))
            {
                return Refuse(BlkStatus.IoError);
            }

            _segments[i] = segment;
            _turnBytes += (ulong)segment.Sectors * BlockLimits.SectorBytes;
        }

        ReadOnlySpan<BlkSegment> segments = _segments.AsSpan(0, (int)count);
        return discard
            ? _store.Discard(chain.Token.Slot, segments, IsWriteThrough)
            : _store.WriteZeroes(chain.Token.Slot, segments, IsWriteThrough);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private BlkStatus Refuse(BlkStatus status)
    {
        _device.Refusals.Count(status == BlkStatus.IoError ? 0 : 1);
        return status;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Answer(ChainToken token, BufferList writable, BlkStatus status, uint writtenBytes)
    {
        writable.WriteLast((byte)status);
        _queue.Complete(token, writtenBytes + 1);
        _completed++;
    }

    /// <summary>A request that cannot be answered breaks the ring, after the driver got its chain back (threats B1).</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void BreakForLackOfStatus(Chain chain)
    {
        _queue.Complete(chain.Token, 0);
        _completed++;
        _queue.Break(ChainFault.NoRoomForStatus);
    }

    private bool Reap()
    {
        bool any = false;
        while (_store.TryReap(out ushort slot, out int result))
        {
            any = true;
            var token = new ChainToken(slot);
            Chain chain = _queue[token];
            BlkStatus status = _store.Continue(slot, _store.IsRead(slot) ? chain.Writable : chain.Readable, result, out uint writtenBytes);
            if (status != BlkStatus.Pending)
            {
                Answer(token, chain.Writable, status, writtenBytes);
            }
        }

        return any;
    }
}
