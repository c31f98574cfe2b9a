using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Driver;

/// <summary>The driver side of a packed virtqueue (virtio 1.2 §2.8).</summary>
/// <remarks>See <see cref="IDriverRing{TSelf}"/>. Keep it in a field that is not readonly.</remarks>
public unsafe struct PackedDriver : IDriverRing<PackedDriver>
{
    private const VirtqDescFlags Marks = VirtqDescFlags.Avail | VirtqDescFlags.Used;

    private PackedDesc* _desc;
    private uint* _driverEvent;
    private uint* _deviceEvent;
    private DriverChain* _chains; // by buffer id
    private ulong* _addresses; // by buffer id: address of the chain's only ring descriptor
    private byte* _tables;
    private ulong _tablesAddress;
    private int _tableEntries;
    private int _size;
    private int _freeDescriptors;
    private bool _eventIdx;
    private bool _inOrder;

    private ushort _availPosition; // next slot to write
    private ushort _usedPosition; // next slot to poll
    private bool _availWrap;
    private bool _usedWrap;

    // Added since the last Publish. Flags of the very first descriptor are stored last: until then the device sees none of the batch.
    private ushort _firstPosition;
    private ulong _firstUpper;
    private int _pendingSlots;
    private bool _callsOff; // DISABLE as the device sees it

    // In order: one used element may stand for several chains. What is left of it, and its length, which belongs to the last.
    private int _batchLeft;
    private uint _batchWritten;
    private IdQueue _order;

    private IdQueue _free;

    // Held so that the pointers above stay good.
    private DriverChain[] _chainStore;
    private ulong[] _addressStore;

    /// <summary>The table that holds the ring, kept reachable while the ring is.</summary>
    public GuestMemory Memory { get; private init; }

    /// <inheritdoc/>
    public readonly int FreeDescriptors => _freeDescriptors;

    /// <inheritdoc/>
    public int InFlight { get; private set; }

    /// <inheritdoc/>
    public DriverFault Fault { get; private set; }

    /// <inheritdoc/>
    public static PackedDriver Open(DriverRingConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        byte* desc = config.Resolve(RingFormat.Packed, out byte* driverEvent, out byte* deviceEvent, out byte* tables);
        QueueState start = config.Start ?? QueueState.Fresh(RingFormat.Packed);
        var ring = new PackedDriver
        {
            _desc = (PackedDesc*)desc,
            _driverEvent = (uint*)driverEvent,
            _deviceEvent = (uint*)deviceEvent,
            _tables = tables,
            _tablesAddress = config.IndirectArea.Value,
            _tableEntries = config.IndirectEntries,
            _size = config.Size,
            _freeDescriptors = config.Size,
            _eventIdx = (config.Features & VirtioFeatures.EventIdx) != 0,
            _inOrder = (config.Features & VirtioFeatures.InOrder) != 0,
            _availPosition = start.AvailPosition,
            _usedPosition = start.AvailPosition,
            _availWrap = start.AvailWrap,
            _usedWrap = start.AvailWrap,
            _free = new IdQueue(config.Size),
            _order = new IdQueue(config.Size),
            _chainStore = GC.AllocateArray<DriverChain>(config.Size, pinned: true),
            _addressStore = GC.AllocateArray<ulong>(config.Size, pinned: true),
            Memory = config.Memory,
            _callsOff = true,
        };

        // SAFETY: the arrays are pinned and held by the struct.
        ring._chains = (DriverChain*)Unsafe.AsPointer(ref ring._chainStore[0]);
        ring._addresses = (ulong*)Unsafe.AsPointer(ref ring._addressStore[0]);
        for (int i = 0; i < config.Size; i++)
        {
            ring._free.Push((ushort)i);

            // A slot that this lap has yet to reach carries the marks of the lap before, so that it is neither available nor used.
            bool marked = start.AvailWrap == (i < start.AvailPosition);
            ring._desc[i] = new PackedDesc(0, 0, 0, marked ? Marks : 0);
        }

        Volatile.Write(ref *ring._driverEvent, (uint)EventSuppression.Disable << 16);
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

        if (_freeDescriptors == 0)
        {
            return false;
        }

        DriverBuffer buffer = buffers[0];
        uint writable = readableCount == 0 ? buffer.LengthBytes : 0;
        AddSingle(_free.Pop(), buffer.Address.Value, buffer.LengthBytes, (1 - readableCount) * (int)VirtqDescFlags.Write, writable, cookie);
        return true;
    }

    /// <inheritdoc/>
    public void Repost(ReadOnlySpan<UsedChain> chains)
    {
        PackedDesc* desc = _desc;
        uint position = _availPosition, size = (uint)_size;
        ulong marks = (ulong)(_availWrap ? VirtqDescFlags.Avail : VirtqDescFlags.Used) << 48;
        int pending = _pendingSlots;
        for (int i = 0; i < chains.Length; i++)
        {
            UsedChain used = chains[i];
            DriverChain* chain = _chains + used.Id;
            if (used.Id >= size || chain->State != DriverChain.Held || chain->Descriptors != 1)
            {
                DriverChain.ThrowNotHeld(used);
            }

            // Length, id and flags are the upper eight bytes of a descriptor: one aligned store, and the last of the batch for its first descriptor.
            chain->State = DriverChain.Offered;
            ulong upper = chain->Len | ((ulong)used.Id << 32) | ((ulong)chain->NextOrFlags << 48) | marks;
            var slot = (ulong*)(desc + position);
            slot[0] = _addresses[used.Id];
            if (pending++ == 0)
            {
                _firstPosition = (ushort)position;
                _firstUpper = upper;
            }
            else
            {
                slot[1] = upper;
            }

            if (++position == size)
            {
                position = 0;
                marks ^= (ulong)Marks << 48;
            }

            if (_inOrder)
            {
                _order.Push(used.Id);
            }
        }

        _availPosition = (ushort)position;
        _availWrap = marks == (ulong)VirtqDescFlags.Avail << 48;
        _pendingSlots = pending;
        InFlight += chains.Length;
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
        int slots = _pendingSlots;
        if (slots == 0)
        {
            return false;
        }

        // Release: all other descriptors of the batch before the flags of its first. Pairs with the device's acquire of those flags.
        Volatile.Write(ref UpperHalf(_firstPosition), _firstUpper);
        _pendingSlots = 0;

        // Full fence: the store above before the load of the event structure (StoreLoad). Pairs with the device's fence between
        // writing its event structure and its last look at the descriptor flags.
        Interlocked.MemoryBarrier();
        uint word = Volatile.Read(ref *_deviceEvent);
        return (EventSuppression)((word >> 16) & 3) switch
        {
            EventSuppression.Disable => false,
            EventSuppression.Descriptor when _eventIdx => EventIdx.IsDuePacked((ushort)word, _availPosition, _availWrap, (ushort)slots, _size),
            _ => true,
        };
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
        // Offset, wrap counter and flags are one aligned word: the device never sees a new flag with an old offset.
        _callsOff = false;
        Volatile.Write(
            ref *_driverEvent,
            _eventIdx ? _usedPosition | (_usedWrap ? 0x8000u : 0) | ((uint)EventSuppression.Descriptor << 16) : (uint)EventSuppression.Enable << 16);

        // Full fence: the store above before the flags are read again (StoreLoad). Pairs with the device's fence between
        // publishing a used descriptor and reading the driver event structure.
        Interlocked.MemoryBarrier();
        return _batchLeft == 0 && !IsUsed(Volatile.Read(ref UpperHalf(_usedPosition)), _usedWrap);
    }

    /// <inheritdoc/>
    public void DisarmCall()
    {
        if (!_callsOff)
        {
            _callsOff = true;
            Volatile.Write(ref *_driverEvent, (uint)EventSuppression.Disable << 16);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsUsed(ulong upper, bool wrap) => ((VirtqDescFlags)(upper >> 48) & Marks) == (wrap ? Marks : 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly ref ulong UpperHalf(ushort position) => ref ((ulong*)(_desc + position))[1];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void Advance(ref ushort position, ref bool wrap, int slots)
    {
        int next = position + slots;
        if (next >= _size)
        {
            next -= _size;
            wrap = !wrap;
        }

        position = (ushort)next;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void AddSingle(ushort id, ulong address, uint lengthBytes, int flags, uint writableBytes, ushort cookie)
    {
        DriverChain* chain = _chains + id;
        chain->WritableBytes = writableBytes;
        chain->Len = lengthBytes;
        chain->Cookie = cookie;
        chain->Descriptors = 1;
        chain->State = DriverChain.Offered;
        chain->NextOrFlags = (ushort)flags;
        _addresses[id] = address;
        _freeDescriptors--;
        Store(id, address, lengthBytes, flags);
    }

    /// <summary>Writes a chain of one descriptor into the next slot.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Store(ushort id, ulong address, uint lengthBytes, int flags)
    {
        Put(id, address, lengthBytes, flags);
        Count(id);
    }

    /// <summary>Writes one descriptor, except for the upper half of the first one of a batch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Put(ushort id, ulong address, uint lengthBytes, int flags)
    {
        // Length, id and flags are the upper eight bytes of a descriptor: one aligned store.
        int marks = _availWrap ? (int)VirtqDescFlags.Avail : (int)VirtqDescFlags.Used;
        ulong upper = lengthBytes | ((ulong)id << 32) | ((ulong)(uint)(flags | marks) << 48);
        ulong* slot = (ulong*)(_desc + _availPosition);
        slot[0] = address;
        if (_pendingSlots++ == 0)
        {
            _firstPosition = _availPosition;
            _firstUpper = upper;
        }
        else
        {
            slot[1] = upper;
        }

        Advance(ref _availPosition, ref _availWrap, 1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Count(ushort id)
    {
        if (_inOrder)
        {
            _order.Push(id);
        }

        InFlight++;
    }

    private bool TryAddChain(ReadOnlySpan<DriverBuffer> buffers, int readableCount, ushort cookie)
    {
        if ((uint)(buffers.Length - 1) >= (uint)_size || (uint)readableCount > (uint)buffers.Length)
        {
            DriverChain.ThrowShape(buffers.Length, readableCount, _size);
        }

        if (buffers.Length > _freeDescriptors)
        {
            return false;
        }

        ushort id = _free.Pop();
        ulong writable = 0;
        for (int i = 0; i < buffers.Length; i++)
        {
            VirtqDescFlags flags = (i < readableCount ? 0 : VirtqDescFlags.Write) | (i == buffers.Length - 1 ? 0 : VirtqDescFlags.Next);
            Put(id, buffers[i].Address.Value, buffers[i].LengthBytes, (int)flags);
            writable += i < readableCount ? 0 : buffers[i].LengthBytes;
        }

        _chains[id] = new DriverChain
        {
            WritableBytes = (uint)Math.Min(writable, uint.MaxValue),
            Cookie = cookie,
            Descriptors = (ushort)buffers.Length,
            State = DriverChain.Offered,
        };
        _freeDescriptors -= buffers.Length;
        Count(id);
        return true;
    }

    private bool TryAddIndirect(ReadOnlySpan<DriverBuffer> buffers, int readableCount, ushort cookie)
    {
        if ((uint)(buffers.Length - 1) >= (uint)_tableEntries || (uint)readableCount > (uint)buffers.Length)
        {
            DriverChain.ThrowShape(buffers.Length, readableCount, _tableEntries);
        }

        if (_freeDescriptors == 0)
        {
            return false;
        }

        ushort id = _free.Pop();
        nint offset = (nint)id * _tableEntries * sizeof(PackedDesc);
        ulong writable = 0;
        for (int i = 0; i < buffers.Length; i++)
        {
            // SAFETY: Resolve checked the area for all tables; i is below their entry count. Tables may lie at any alignment.
            VirtqDescFlags flags = i < readableCount ? 0 : VirtqDescFlags.Write;
            Unsafe.WriteUnaligned(_tables + offset + (i * sizeof(PackedDesc)), new PackedDesc(buffers[i].Address.Value, buffers[i].LengthBytes, 0, flags));
            writable += i < readableCount ? 0 : buffers[i].LengthBytes;
        }

        uint tableBytes = (uint)(buffers.Length * sizeof(PackedDesc));
        AddSingle(id, _tablesAddress + (ulong)offset, tableBytes, (int)VirtqDescFlags.Indirect, (uint)Math.Min(writable, uint.MaxValue), cookie);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Collect(Span<UsedChain> used) => Fault != DriverFault.None ? 0 : _inOrder ? CollectInOrder(used) : CollectEach(used);

    private int CollectEach(Span<UsedChain> used)
    {
        const ulong MarksOfUpper = (ulong)Marks << 48, WriteOfUpper = (ulong)VirtqDescFlags.Write << 48;
        PackedDesc* desc = _desc;
        DriverChain* chains = _chains;
        uint position = _usedPosition, size = (uint)_size;
        ulong wanted = _usedWrap ? MarksOfUpper : 0;
        DriverFault fault = DriverFault.None;
        int count = 0;
        for (; count < used.Length; count++)
        {
            // Acquire by the one load that brings flags, id and length: data is read after it, checks and uses go to the copy.
            ulong upper = Volatile.Read(ref ((ulong*)(desc + position))[1]);
            if ((upper & MarksOfUpper) != wanted)
            {
                break;
            }

            var id = (ushort)(upper >> 32);
            uint written = (upper & WriteOfUpper) != 0 ? (uint)upper : 0;
            DriverChain* chain = chains + id;
            if (id >= size || chain->State != DriverChain.Offered || !chain->Accepts(ref written))
            {
                fault = FaultOf(id);
                break;
            }

            chain->State = DriverChain.Held;
            used[count] = new UsedChain(chain->Cookie, id, written);
            position += chain->Descriptors;
            if (position >= size)
            {
                position -= size;
                wanted ^= MarksOfUpper;
            }
        }

        _usedPosition = (ushort)position;
        _usedWrap = wanted != 0;
        InFlight -= count;
        return fault == DriverFault.None ? count : Break(fault, count);
    }

    /// <summary>One element may stand for all chains up to its own (virtio 1.2 §2.8.8). Those before the last are taken as filled completely.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int CollectInOrder(Span<UsedChain> used)
    {
        for (int i = 0; i < used.Length; i++)
        {
            if (_batchLeft == 0)
            {
                // Acquire, as above.
                ulong upper = Volatile.Read(ref UpperHalf(_usedPosition));
                if (!IsUsed(upper, _usedWrap))
                {
                    return i;
                }

                var id = (ushort)(upper >> 32);
                uint written = ((VirtqDescFlags)(upper >> 48) & VirtqDescFlags.Write) != 0 ? (uint)upper : 0;
                if (id >= _size || _chains[id].State != DriverChain.Offered || !_chains[id].Accepts(ref written))
                {
                    return Break(FaultOf(id), i);
                }

                StartBatch(id, written);
            }

            ushort next = _order.Pop();
            used[i] = Take(next, --_batchLeft == 0 ? _batchWritten : _chains[next].WritableBytes);
        }

        return used.Length;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private UsedChain Take(ushort id, uint writtenBytes)
    {
        DriverChain* chain = _chains + id;
        chain->State = DriverChain.Held;
        Advance(ref _usedPosition, ref _usedWrap, chain->Descriptors);
        InFlight--;
        return new UsedChain(chain->Cookie, id, writtenBytes);
    }

    /// <summary>Finds the end of a batch. The id is in flight, so it is in the order.</summary>
    private void StartBatch(ushort id, uint writtenBytes)
    {
        _batchWritten = writtenBytes;
        _batchLeft = 1;
        for (int i = 0; i < _order.Count && _order.Peek(i) != id; i++)
        {
            _batchLeft++;
        }
    }

    private void FreeChain(ushort id)
    {
        _chains[id].State = DriverChain.Free;
        _freeDescriptors += _chains[id].Descriptors;
        _free.Push(id);
    }

    private readonly DriverFault FaultOf(ushort id) => id >= _size ? DriverFault.UsedIdOutOfRange
        : _chains[id].State != DriverChain.Offered ? DriverFault.UsedIdNotInFlight
        : DriverFault.UsedLengthTooLong;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private int Break(DriverFault fault, int collected)
    {
        Fault = fault;
        _batchLeft = 0;
        return collected;
    }
}
