using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Driver;

/// <summary>The driver side of a split virtqueue (virtio 1.2 §2.7).</summary>
/// <remarks>See <see cref="IDriverRing{TSelf}"/>. Keep it in a field that is not readonly.</remarks>
public unsafe struct SplitDriver : IDriverRing<SplitDriver>
{
    private const ushort NoInterrupt = 1; // VIRTQ_AVAIL_F_NO_INTERRUPT
    private const ushort NoNotify = 1; // VIRTQ_USED_F_NO_NOTIFY

    private VirtqDesc* _desc;
    private ushort* _avail; // flags, idx, ring[size], used_event
    private ushort* _usedHeader; // flags, idx
    private VirtqUsedElem* _used;
    private ushort* _usedEvent;
    private ushort* _availEvent;
    private DriverChain* _chains; // by head; NextOrFlags by descriptor
    private byte* _tables;
    private ulong _tablesAddress;
    private uint _size;
    private uint _mask;
    private int _tableEntries;
    private bool _eventIdx;
    private bool _inOrder;

    private ushort _availNext; // next available entry to write
    private ushort _availPublished; // avail.idx as the device sees it
    private ushort _lastUsed; // next used entry to read
    private ushort _usedShadow; // device's idx as last read
    private bool _callsOff; // NO_INTERRUPT as the device sees it

    // In order: one used element may stand for several chains. What is left of it, and its length, which belongs to the last.
    private int _batchLeft;
    private uint _batchWritten;
    private IdQueue _order;

    private IdQueue _free;

    // Held so that the pointers above stay good.
    private DriverChain[] _chainStore;

    /// <summary>The table that holds the ring, kept reachable while the ring is.</summary>
    public GuestMemory Memory { get; private init; }

    /// <inheritdoc/>
    public readonly int FreeDescriptors => _free.Count;

    /// <inheritdoc/>
    public readonly int InFlight => unchecked((ushort)(_availNext - _lastUsed));

    /// <inheritdoc/>
    public DriverFault Fault { get; private set; }

    /// <inheritdoc/>
    public static SplitDriver Open(DriverRingConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        byte* desc = config.Resolve(RingFormat.Split, out byte* avail, out byte* used, out byte* tables);
        ushort start = (config.Start ?? QueueState.Fresh(RingFormat.Split)).NextAvail;
        var ring = new SplitDriver
        {
            _desc = (VirtqDesc*)desc,
            _avail = (ushort*)avail,
            _usedEvent = (ushort*)avail + 2 + config.Size,
            _usedHeader = (ushort*)used,
            _used = (VirtqUsedElem*)(used + 4),
            _availEvent = (ushort*)(used + 4 + ((nint)config.Size * sizeof(VirtqUsedElem))),
            _tables = tables,
            _tablesAddress = config.IndirectArea.Value,
            _tableEntries = config.IndirectEntries,
            _size = (uint)config.Size,
            _mask = (uint)config.Size - 1,
            _eventIdx = (config.Features & VirtioFeatures.EventIdx) != 0,
            _inOrder = (config.Features & VirtioFeatures.InOrder) != 0,
            _availNext = start,
            _availPublished = start,
            _lastUsed = start,
            _usedShadow = start,
            _free = new IdQueue(config.Size),
            _order = new IdQueue(config.Size),
            _chainStore = GC.AllocateArray<DriverChain>(config.Size, pinned: true),
            Memory = config.Memory,
        };

        // SAFETY: the array is pinned and held by the struct.
        ring._chains = (DriverChain*)Unsafe.AsPointer(ref ring._chainStore[0]);
        for (int i = 0; i < config.Size; i++)
        {
            ring._free.Push((ushort)i);
        }

        // The entry before the first one will not come for a whole round of the index: no calls, as DisarmCall would have it.
        ring._avail[0] = ring._eventIdx ? (ushort)0 : NoInterrupt;
        ring._callsOff = !ring._eventIdx;
        *ring._usedEvent = unchecked((ushort)(start - 1));
        *ring._availEvent = start;
        ring._usedHeader[1] = start;
        Volatile.Write(ref ring._avail[1], start);
        return ring;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryAdd(ReadOnlySpan<DriverBuffer> buffers, int readableCount, ushort cookie, bool indirect = false)
    {
        if (buffers.Length != 1 || indirect || (uint)readableCount > 1)
        {
            return indirect ? TryAddIndirect(buffers, readableCount, cookie) : TryAddChain(buffers, readableCount, cookie);
        }

        if (_free.Count == 0)
        {
            return false;
        }

        DriverBuffer buffer = buffers[0];
        ushort head = _free.Pop();
        Offer(head, 1, readableCount == 0 ? buffer.LengthBytes : 0, cookie);

        // A descriptor that says the same already keeps its line shared: the device need not fetch it again.
        var flags = (VirtqDescFlags)((1 - readableCount) * (int)VirtqDescFlags.Write);
        VirtqDesc* desc = _desc + head;
        if (desc->Addr != buffer.Address.Value || desc->Len != buffer.LengthBytes || desc->Flags != flags)
        {
            *desc = new VirtqDesc(buffer.Address.Value, buffer.LengthBytes, flags, 0);
        }

        return true;
    }

    /// <inheritdoc/>
    public void Repost(ReadOnlySpan<UsedChain> chains)
    {
        DriverChain* known = _chains;
        ushort* entries = _avail + 2;
        uint next = _availNext, mask = _mask;
        for (int i = 0; i < chains.Length; i++)
        {
            UsedChain used = chains[i];
            DriverChain* chain = known + used.Id;
            if (used.Id > mask || chain->State != DriverChain.Held || chain->Descriptors != 1)
            {
                DriverChain.ThrowNotHeld(used);
            }

            // The descriptor is as it was: nothing of it needs to be written. Nor does an entry that says the same already, for the device's cache.
            chain->State = DriverChain.Offered;
            ushort* entry = entries + (next++ & mask);
            if (*entry != used.Id)
            {
                *entry = used.Id;
            }

            if (_inOrder)
            {
                _order.Push(used.Id);
            }
        }

        _availNext = (ushort)next;
    }

    /// <inheritdoc/>
    public void Release(ReadOnlySpan<UsedChain> chains)
    {
        foreach (UsedChain used in chains)
        {
            if (used.Id >= _size || _chains[used.Id].State != DriverChain.Held)
            {
                DriverChain.ThrowNotHeld(used);
            }

            FreeChain(used.Id);
        }
    }

    /// <inheritdoc/>
    public bool Publish()
    {
        ushort old = _availPublished;
        if (_availNext == old)
        {
            return false;
        }

        // Release: descriptors and entries before the index. Pairs with the device's acquire of avail->idx.
        Volatile.Write(ref _avail[1], _availNext);
        _availPublished = _availNext;

        // Full fence: the store above before the load of the event word (StoreLoad). Pairs with the device's fence between
        // writing avail_event (or clearing NO_NOTIFY) and its last look at avail->idx.
        Interlocked.MemoryBarrier();
        return _eventIdx
            ? EventIdx.IsDue(Volatile.Read(ref *_availEvent), _availNext, old)
            : (Volatile.Read(ref _usedHeader[0]) & NoNotify) == 0;
    }

    /// <inheritdoc/>
    public bool TryGetUsed(out ushort cookie, out uint writtenBytes)
    {
        UsedChain used = default;
        bool any = GetUsedBurst(new Span<UsedChain>(ref used)) != 0;
        cookie = used.Cookie;
        writtenBytes = used.WrittenBytes;
        return any;
    }

    /// <inheritdoc/>
    public int GetUsedBurst(Span<UsedChain> used)
    {
        int count = Collect(used);
        for (int i = 0; i < count; i++)
        {
            FreeChain(used[i].Id);
        }

        return count;
    }

    /// <inheritdoc/>
    public int TakeUsedBurst(Span<UsedChain> used) => Collect(used);

    /// <inheritdoc/>
    public bool TryArmCall()
    {
        if (_eventIdx)
        {
            Volatile.Write(ref *_usedEvent, _lastUsed); // call me when this entry is published (§2.7.7)
        }
        else
        {
            _callsOff = false;
            Volatile.Write(ref _avail[0], 0);
        }

        // Full fence: the store above before used->idx is read again (StoreLoad). Pairs with the device's fence between
        // publishing used->idx and reading used_event or the flags.
        Interlocked.MemoryBarrier();
        return _batchLeft == 0 && Volatile.Read(ref _usedHeader[1]) == _lastUsed;
    }

    /// <inheritdoc/>
    public void DisarmCall()
    {
        // With EVENT_IDX the index left behind asks for nothing until it comes round again, so no store is needed.
        if (!_eventIdx && !_callsOff)
        {
            _callsOff = true;
            Volatile.Write(ref _avail[0], NoInterrupt);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Offer(ushort head, int descriptors, uint writableBytes, ushort cookie)
    {
        DriverChain* chain = _chains + head;
        chain->WritableBytes = writableBytes;
        chain->Cookie = cookie;
        chain->Descriptors = (ushort)descriptors;
        chain->State = DriverChain.Offered;
        Append(head);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Append(ushort head)
    {
        // An entry that says the same already is not written, for the device's cache.
        ushort* entry = _avail + 2 + (_availNext & _mask);
        if (*entry != head)
        {
            *entry = head;
        }

        if (_inOrder)
        {
            _order.Push(head);
        }

        _availNext++;
    }

    private bool TryAddChain(ReadOnlySpan<DriverBuffer> buffers, int readableCount, ushort cookie)
    {
        if ((uint)(buffers.Length - 1) >= _size || (uint)readableCount > (uint)buffers.Length)
        {
            DriverChain.ThrowShape(buffers.Length, readableCount, (int)_size);
        }

        if (buffers.Length > _free.Count)
        {
            return false;
        }

        ushort head = _free.Pop(), current = head;
        ulong writable = 0;
        for (int i = 0; i < buffers.Length; i++)
        {
            bool last = i == buffers.Length - 1;
            ushort next = last ? (ushort)0 : _free.Pop();
            VirtqDescFlags flags = (i < readableCount ? 0 : VirtqDescFlags.Write) | (last ? 0 : VirtqDescFlags.Next);
            _desc[current] = new VirtqDesc(buffers[i].Address.Value, buffers[i].LengthBytes, flags, next);
            _chains[current].NextOrFlags = next;
            writable += i < readableCount ? 0 : buffers[i].LengthBytes;
            current = next;
        }

        Offer(head, buffers.Length, (uint)Math.Min(writable, uint.MaxValue), cookie);
        return true;
    }

    private bool TryAddIndirect(ReadOnlySpan<DriverBuffer> buffers, int readableCount, ushort cookie)
    {
        if ((uint)(buffers.Length - 1) >= (uint)_tableEntries || (uint)readableCount > (uint)buffers.Length)
        {
            DriverChain.ThrowShape(buffers.Length, readableCount, _tableEntries);
        }

        if (_free.Count == 0)
        {
            return false;
        }

        ushort head = _free.Pop();
        nint offset = (nint)head * _tableEntries * sizeof(VirtqDesc);
        ulong writable = 0;
        for (int i = 0; i < buffers.Length; i++)
        {
            bool last = i == buffers.Length - 1;
            VirtqDescFlags flags = (i < readableCount ? 0 : VirtqDescFlags.Write) | (last ? 0 : VirtqDescFlags.Next);
            ushort next = last ? (ushort)0 : (ushort)(i + 1);

            // SAFETY: Resolve checked the area for all tables; i is below their entry count. Tables may lie at any alignment.
            Unsafe.WriteUnaligned(_tables + offset + (i * sizeof(VirtqDesc)), new VirtqDesc(buffers[i].Address.Value, buffers[i].LengthBytes, flags, next));
            writable += i < readableCount ? 0 : buffers[i].LengthBytes;
        }

        _desc[head] = new VirtqDesc(_tablesAddress + (ulong)offset, (uint)(buffers.Length * sizeof(VirtqDesc)), VirtqDescFlags.Indirect, 0);
        Offer(head, 1, (uint)Math.Min(writable, uint.MaxValue), cookie);
        return true;
    }

    /// <summary>How many used entries may be read now. One acquire of the device's index when the shadow is used up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Ready()
    {
        ushort ready = unchecked((ushort)(_usedShadow - _lastUsed));
        if (ready == 0 && Fault == DriverFault.None)
        {
            // Acquire: elements and data are read after the index that announces them.
            _usedShadow = Volatile.Read(ref _usedHeader[1]);
            ready = unchecked((ushort)(_usedShadow - _lastUsed));
            if (ready > unchecked((ushort)(_availPublished - _lastUsed)))
            {
                return Break(DriverFault.UsedIndexOutOfRange, 0);
            }
        }

        return ready;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Collect(Span<UsedChain> used)
    {
        int count = Math.Min(Ready(), used.Length);
        if (_inOrder)
        {
            return CollectInOrder(used[..count]);
        }

        uint index = _lastUsed, mask = _mask, size = _size;
        DriverChain* chains = _chains;
        VirtqUsedElem* elements = _used;
        for (int i = 0; i < count; i++)
        {
            // One read; checks and uses go to the copy.
            ulong element = Unsafe.ReadUnaligned<ulong>(elements + ((index + (uint)i) & mask));
            uint id = (uint)element, written = (uint)(element >> 32);
            DriverChain* chain = chains + id;
            if (id >= size || chain->State != DriverChain.Offered || !chain->Accepts(ref written))
            {
                _lastUsed += (ushort)i;
                return Break(FaultOf(id), i);
            }

            chain->State = DriverChain.Held;
            used[i] = new UsedChain(chain->Cookie, (ushort)id, written);
        }

        _lastUsed += (ushort)count;
        return count;
    }

    /// <summary>One element may stand for all chains up to its own (virtio 1.2 §2.7.9). Those before the last are taken as filled completely.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int CollectInOrder(Span<UsedChain> used)
    {
        for (int i = 0; i < used.Length; i++)
        {
            if (_batchLeft == 0)
            {
                DriverFault fault = ReadBatch();
                if (fault != DriverFault.None)
                {
                    return Break(fault, i);
                }
            }

            ushort head = _order.Pop();
            DriverChain* chain = _chains + head;
            uint written = --_batchLeft == 0 ? _batchWritten : chain->WritableBytes;
            chain->State = DriverChain.Held;
            used[i] = new UsedChain(chain->Cookie, head, written);
            _lastUsed++;
        }

        return used.Length;
    }

    private DriverFault ReadBatch()
    {
        ulong element = Unsafe.ReadUnaligned<ulong>(_used + (_lastUsed & _mask));
        uint id = (uint)element;
        _batchWritten = (uint)(element >> 32);
        if (id >= _size)
        {
            return DriverFault.UsedIdOutOfRange;
        }

        int ready = unchecked((ushort)(_usedShadow - _lastUsed));
        for (int i = 0; i < ready; i++)
        {
            if (_order.Peek(i) == id)
            {
                _batchLeft = i + 1;
                return _chains[id].Accepts(ref _batchWritten) ? DriverFault.None : DriverFault.UsedLengthTooLong;
            }
        }

        return DriverFault.UsedIdNotInFlight;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FreeChain(ushort head)
    {
        DriverChain* chain = _chains + head;
        int descriptors = chain->Descriptors;
        chain->State = DriverChain.Free;
        _free.Push(head);
        for (ushort next = chain->NextOrFlags; --descriptors > 0; next = _chains[next].NextOrFlags)
        {
            _free.Push(next);
        }
    }

    private readonly DriverFault FaultOf(uint id) => id >= _size ? DriverFault.UsedIdOutOfRange
        : _chains[id].State != DriverChain.Offered ? DriverFault.UsedIdNotInFlight
        : DriverFault.UsedLengthTooLong;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private int Break(DriverFault fault, int collected)
    {
        Fault = fault;
        _usedShadow = _lastUsed;
        _batchLeft = 0;
        return collected;
    }
}
