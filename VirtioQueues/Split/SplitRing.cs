using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Split;

/// <summary>The device side of a split virtqueue (virtio 1.2 §2.7).</summary>
/// <remarks>Worker thread only; see <see cref="IRing{TSelf}"/>.</remarks>
public unsafe struct SplitRing : IRing<SplitRing>
{
    private const ushort NoInterrupt = 1; // VIRTQ_AVAIL_F_NO_INTERRUPT
    private const ushort NoNotify = 1; // VIRTQ_USED_F_NO_NOTIFY

    private VirtqDesc* _desc;
    private ushort* _avail; // flags, idx, ring[size], used_event
    private ushort* _usedHeader; // flags, idx
    private VirtqUsedElem* _used;
    private ushort* _usedEvent;
    private ushort* _availEvent;
    private uint _mask;
    private uint _size;

    private ushort _lastAvail; // next entry to take
    private ushort _availShadow; // driver's idx as last read
    private ushort _usedNext; // next used entry to write
    private ushort _usedPublished; // used.idx as the driver sees it
    private ushort _descriptorsInFlight; // until published: before, no driver can know that its chain is done
    private ushort _descriptorsCompleted; // of those, the ones that the next publication gives back
    private bool _eventIdx;
    private bool _batchInOrder;
    private bool _opened;
    private bool _kicksOff; // NO_NOTIFY as the driver sees it
    private bool _callOnce; // the driver's view of «old» is unknown: notify whatever the event index says

    // One bit a head: offered while set means the driver reused a chain that it does not own.
    private InFlightMap _inFlight;

    private SplitInflight? _record;

    /// <inheritdoc/>
    public readonly QueueState State => QueueState.Split(_lastAvail);

    /// <inheritdoc/>
    public static SplitRing Open(QueueConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return new SplitRing
        {
            _size = (uint)config.Size,
            _mask = (uint)config.Size - 1,
            _lastAvail = config.State.NextAvail,
            _availShadow = config.State.NextAvail,
            _eventIdx = config.Has(VirtioFeatures.EventIdx),
            _batchInOrder = config.BatchesInOrder,
            _inFlight = new InFlightMap(config.Size),
        };
    }

    /// <inheritdoc/>
    bool IRing<SplitRing>.TryAttach(QueueConfig config, GuestMemory memory)
    {
        if (!config.TryResolve(memory, out byte* desc, out byte* avail, out byte* used))
        {
            return false;
        }

        // SAFETY: FindError checked the size; TryResolve that each area is aligned and inside one mapped region, which the queue's table keeps alive.
        _desc = (VirtqDesc*)desc;
        _avail = (ushort*)avail;
        _usedEvent = _avail + 2 + _size;
        _usedHeader = (ushort*)used;
        _used = (VirtqUsedElem*)(used + 4);
        _availEvent = (ushort*)(_used + _size);
        _callOnce = true;
        _kicksOff = false;
        if (!_opened)
        {
            _opened = true;
            _usedNext = _usedPublished = Volatile.Read(ref _usedHeader[1]);
        }

        return true;
    }

    /// <inheritdoc/>
    void IRing<SplitRing>.Resume(QueueConfig config, ref ChainFault fault)
    {
        _record = new SplitInflight(config);
        fault = _record.Resume((int)_size, _usedPublished, _avail + 2, ref _lastAvail);
        _availShadow = _lastAvail;
    }

    /// <inheritdoc/>
    readonly int IRing<SplitRing>.Unserved => _record is { } record ? record.Unserved : 0;

    /// <inheritdoc/>
    bool IRing<SplitRing>.TryTakeAgain(ref ChainWalker walker, ChainSlot* slot, ref ChainFault fault)
    {
        if (!TryTakeHead(ref walker, slot, _record!.NextUnserved, ref fault))
        {
            return false;
        }

        // It is recorded already, with the counter that tells its age.
        slot->Entry = 1;
        _record.Serve();
        return true;
    }

    /// <inheritdoc/>
    readonly void IRing<SplitRing>.RecordTaken(ChainSlot* slots, ushort* indices, int count)
    {
        for (int i = 0; i < count; i++)
        {
            ChainSlot* slot = slots + indices[i];
            slot->Entry = 0;
            _record!.Take(slot->Head);
        }
    }

    /// <inheritdoc/>
    readonly void IRing<SplitRing>.RecordComplete(ChainSlot* slot) => _record!.Link(slot->Head);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    int IRing<SplitRing>.Available(int max, ref ChainFault fault)
    {
        ushort ready = unchecked((ushort)(_availShadow - _lastAvail));
        if (ready < max)
        {
            // Acquire: entries and descriptors below are read after the index that announces them.
            _availShadow = Volatile.Read(ref _avail[1]);
            ready = unchecked((ushort)(_availShadow - _lastAvail));
            if (ready > _size)
            {
                fault = ChainFault.AvailIndexOutOfRange;
                _availShadow = _lastAvail;
                return 0;
            }
        }

        int count = Math.Min(ready, max);
        if (Sse.IsSupported)
        {
            // All misses of the burst start together; a head out of range is masked, never followed.
            for (int i = 0; i < count; i++)
            {
                Sse.Prefetch0(_desc + (_avail[2 + (unchecked((uint)(_lastAvail + i)) & _mask)] & _mask));
            }
        }

        return count;
    }

    /// <inheritdoc/>
    bool IRing<SplitRing>.TryTake(ref ChainWalker walker, ChainSlot* slot, ref ChainFault fault)
    {
        ushort head = Volatile.Read(ref _avail[2 + (_lastAvail & _mask)]);
        if (head >= _size)
        {
            fault = ChainFault.HeadOutOfRange;
            return false;
        }

        if (!TryTakeHead(ref walker, slot, head, ref fault))
        {
            return false;
        }

        _lastAvail++;
        return true;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    int IRing<SplitRing>.TakeRun(ref ChainWalker walker, ChainSlot* slots, ushort* free, ushort* window, int count)
    {
        VirtqDesc* desc = _desc;
        ushort* entries = _avail + 2, to = window, end = window + Math.Min(count, (int)(_size - _descriptorsInFlight));
        uint mask = _mask, next = _lastAvail;
        InFlightMap inFlight = _inFlight;
        while (to < end)
        {
            uint head = Volatile.Read(ref entries[next & mask]);
            if (head > mask || !inFlight.TryAdd(head))
            {
                break;
            }

            DescriptorSnapshot word = DescriptorSnapshot.Load(desc + head);
            if (word.IsSplitList || !walker.TrySetOnly(slots + *free, word.Addr, word.Len, word.SplitFlags, head))
            {
                inFlight.Remove(head);
                break;
            }

            *to++ = *free--;
            next++;
        }

        int taken = (int)(to - window);
        _lastAvail = unchecked((ushort)next);
        _descriptorsInFlight += (ushort)taken;
        return taken;
    }

    /// <inheritdoc/>
    void IRing<SplitRing>.Rewind(ChainSlot* slot)
    {
        _inFlight.Remove(slot->Head);
        _descriptorsInFlight -= slot->RingDescriptors;
        if (_record is { } record)
        {
            if (slot->Entry != 0)
            {
                record.Unserve(); // its entry of the available ring is long gone
                return;
            }

            record.Untake(slot->Head);
        }

        _lastAvail--;
        _availShadow = _lastAvail; // read again: the memory may be another by then
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    void IRing<SplitRing>.Complete(ChainSlot* slot, uint writtenBytes)
    {
        // In order and nothing written: one element, in the first one's place, stands for the whole batch (virtio 1.2 §2.7.9).
        uint entry = _batchInOrder ? _usedPublished : _usedNext;
        _used[entry & _mask] = new VirtqUsedElem(slot->Head, writtenBytes);
        _usedNext++;
        _descriptorsCompleted += slot->RingDescriptors;
        _inFlight.Remove(slot->Head);
    }

    /// <inheritdoc/>
    void IRing<SplitRing>.CompleteRun(ChainSlot* slots, ushort* indices, uint* writtenBytes, int count)
    {
        ulong* used = (ulong*)_used;
        InFlightMap inFlight = _inFlight;
        uint mask = _mask, next = _usedNext, step = 1, descriptors = 0;
        if (_batchInOrder)
        {
            (next, step) = (_usedPublished, 0); // the last one's element stays, in the first one's place
        }

        for (ushort* end = indices + count; indices < end; indices++)
        {
            // An element is id and length, 32 bits each: one store.
            ChainSlot* slot = slots + *indices;
            uint head = slot->Head;
            ulong element = head;
            if (writtenBytes != null)
            {
                element |= (ulong)*writtenBytes++ << 32;
            }

            used[next & mask] = element;
            next += step;
            descriptors += slot->RingDescriptors;
            inFlight.Remove(head);
        }

        _usedNext += (ushort)count;
        _descriptorsCompleted += (ushort)descriptors;
    }

    /// <inheritdoc/>
    bool IRing<SplitRing>.Publish()
    {
        ushort old = _usedPublished;
        if (_usedNext == old)
        {
            return false;
        }

        // Release: elements and data before the index. Pairs with the driver's acquire of used->idx, and with the successor that reads it when it starts:
        // the links of a recorded batch come before, its crossing out afterwards.
        InflightStore.CrashPoint();
        Volatile.Write(ref _usedHeader[1], _usedNext);
        _usedPublished = _usedNext;
        _record?.EndBatch(_usedNext);
        _descriptorsInFlight -= _descriptorsCompleted;
        _descriptorsCompleted = 0;

        // Full fence: the store above before the load of the event word (StoreLoad). Pairs with the driver's fence between
        // writing used_event (or clearing NO_INTERRUPT) and its last look at used->idx.
        Interlocked.MemoryBarrier();
        if (_callOnce)
        {
            _callOnce = false;
            return true;
        }

        return _eventIdx
            ? EventIdx.IsDue(Volatile.Read(ref *_usedEvent), _usedNext, old)
            : (Volatile.Read(ref _avail[0]) & NoInterrupt) == 0;
    }

    /// <inheritdoc/>
    bool IRing<SplitRing>.TryArm()
    {
        if (_eventIdx)
        {
            Volatile.Write(ref *_availEvent, _lastAvail); // kick me when this entry is published (§2.7.10)
        }
        else
        {
            _kicksOff = false;
            Volatile.Write(ref _usedHeader[0], 0);
        }

        // Full fence: the store above before avail->idx is read again (StoreLoad). Pairs with the driver's fence between
        // publishing avail->idx and reading avail_event or the flags.
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref _avail[1]) == _lastAvail;
    }

    /// <inheritdoc/>
    void IRing<SplitRing>.Disarm()
    {
        // With EVENT_IDX the index left behind asks for nothing until it comes round again, so no store is needed.
        if (!_eventIdx && !_kicksOff)
        {
            _kicksOff = true;
            Volatile.Write(ref _usedHeader[0], NoNotify);
        }
    }

    /// <inheritdoc/>
    readonly bool IRing<SplitRing>.TryLog(QueueConfig config, DirtyLog log) =>
        config.UsedLog is not { } used || log.TryMark(used, config.AreaSizes().Device);

    /// <summary>Checks and translates the chain at <paramref name="head"/>, which is inside the table, wherever it was read.</summary>
    private bool TryTakeHead(ref ChainWalker walker, ChainSlot* slot, ushort head, ref ChainFault fault)
    {
        if (_inFlight.Contains(head))
        {
            fault = ChainFault.HeadInFlight;
            return false;
        }

        int descriptors = Walk(ref walker, slot, DescriptorSnapshot.Load(_desc + head), ref fault);
        if (fault != ChainFault.None)
        {
            return false;
        }

        if (_descriptorsInFlight + descriptors > _size)
        {
            fault = ChainFault.TooManyInFlight;
            return false;
        }

        _ = _inFlight.TryAdd(head);
        _descriptorsInFlight += (ushort)descriptors;
        slot->Head = head;
        slot->RingDescriptors = (ushort)descriptors;
        return true;
    }

    /// <summary>Follows a chain of several descriptors or with an indirect table. Bounded by the queue size, so a loop ends as «too long».</summary>
    private readonly int Walk(ref ChainWalker walker, ChainSlot* slot, DescriptorSnapshot word, ref ChainFault fault)
    {
        ChainSlot.Reset(slot);
        fault = Walk(ref walker, slot, word, out int descriptors);
        return descriptors;
    }

    private readonly ChainFault Walk(ref ChainWalker walker, ChainSlot* slot, DescriptorSnapshot word, out int descriptors)
    {
        descriptors = 1;
        while (true)
        {
            VirtqDescFlags flags = word.SplitFlags;
            if ((flags & VirtqDescFlags.Indirect) != 0)
            {
                return (flags & VirtqDescFlags.Next) != 0
                    ? ChainFault.IndirectWithNext
                    : walker.AddIndirect(slot, word.Addr, word.Len, descriptors - 1, packed: false);
            }

            ChainFault fault = walker.Add(slot, word.Addr, word.Len, flags);
            if (fault != ChainFault.None || (flags & VirtqDescFlags.Next) == 0)
            {
                return fault;
            }

            ushort next = word.SplitNext;
            if (next >= _size)
            {
                return ChainFault.NextOutOfRange;
            }

            if (++descriptors > _size)
            {
                return ChainFault.ChainTooLong;
            }

            word = DescriptorSnapshot.Load(_desc + next);
        }
    }
}
