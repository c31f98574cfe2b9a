using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Packed;

/// <summary>The device side of a packed virtqueue (virtio 1.2 §2.8).</summary>
/// <remarks>Worker thread only; see <see cref="IRing{TSelf}"/>.</remarks>
public unsafe struct PackedRing : IRing<PackedRing>
{
    /// <summary>Completions held back at most. When more come in one turn, all but the first are stored, which shows the driver nothing yet.</summary>
    private const int MaxPending = 64;

    private const VirtqDescFlags Marks = VirtqDescFlags.Avail | VirtqDescFlags.Used;

    private PackedDesc* _desc;
    private uint* _driverEvent;
    private uint* _deviceEvent;
    private int _size;

    private ushort _availPosition; // next slot to take
    private ushort _usedPosition; // next slot to complete into, including completions not yet published
    private bool _availWrap;
    private bool _usedWrap;
    private int _descriptorsInFlight; // until published: before, no driver can know that its chain is done

    // Completions since the last Publish, private until then: the driver polls the first one's slot, and a store beside it would cost its line twice.
    private readonly ulong[] _pendingElements;
    private readonly ushort[] _pendingPositions;
    private int _pending;
    private ushort _pendingSlots; // descriptors that the next publication gives back

    private bool _eventIdx;
    private bool _batchInOrder;
    private bool _callOnce;
    private bool _kicksOff; // DISABLE as the driver sees it

    // One bit a buffer id, all 65536 of them: a driver may use any number.
    private InFlightMap _inFlight;

    private PackedInflight? _record;

    /// <inheritdoc/>
    public readonly QueueState State => QueueState.Packed(_availPosition, _availWrap, _usedPosition, _usedWrap);

    private PackedRing(QueueConfig config)
    {
        _size = config.Size;
        _availPosition = config.State.AvailPosition;
        _availWrap = config.State.AvailWrap;
        _usedPosition = config.State.UsedPosition;
        _usedWrap = config.State.UsedWrap;
        _eventIdx = config.Has(VirtioFeatures.EventIdx);
        _batchInOrder = config.BatchesInOrder;
        _inFlight = new InFlightMap(1 << 16);
        _pendingElements = new ulong[MaxPending];
        _pendingPositions = new ushort[MaxPending];
    }

    /// <inheritdoc/>
    public static PackedRing Open(QueueConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return new PackedRing(config);
    }

    /// <inheritdoc/>
    bool IRing<PackedRing>.TryAttach(QueueConfig config, GuestMemory memory)
    {
        if (!config.TryResolve(memory, out byte* desc, out byte* driverEvent, out byte* deviceEvent))
        {
            return false;
        }

        // SAFETY: FindError checked size and base; TryResolve that each area is aligned and inside one mapped region, which the queue's table keeps alive.
        _desc = (PackedDesc*)desc;
        _driverEvent = (uint*)driverEvent;
        _deviceEvent = (uint*)deviceEvent;
        _callOnce = true;
        _kicksOff = false;
        return true;
    }

    /// <inheritdoc/>
    void IRing<PackedRing>.Resume(QueueConfig config, ref ChainFault fault)
    {
        _record = new PackedInflight(config);
        ushort position = _usedPosition;
        bool wrap = _usedWrap;
        if (_record.Resume(_desc, _size, ref position, ref wrap, ref fault))
        {
            // The front-end knows nothing better: for a packed ring it can only repeat what the last clean stop told it.
            _availPosition = _usedPosition = position;
            _availWrap = _usedWrap = wrap;
        }
    }

    /// <inheritdoc/>
    readonly int IRing<PackedRing>.Unserved => 0;

    /// <inheritdoc/>
    readonly bool IRing<PackedRing>.TryTakeAgain(ref ChainWalker walker, ChainSlot* slot, ref ChainFault fault) => false;

    /// <inheritdoc/>
    readonly void IRing<PackedRing>.RecordTaken(ChainSlot* slots, ushort* indices, int count)
    {
        int position = _availPosition;
        for (int i = 0; i < count; i++)
        {
            position -= slots[indices[i]].RingDescriptors;
        }

        for (int i = 0; i < count; i++)
        {
            ChainSlot* slot = slots + indices[i];
            slot->Entry = _record!.Take(_desc, _size, position < 0 ? position + _size : position, slot->RingDescriptors);
            position += slot->RingDescriptors;
        }
    }

    /// <inheritdoc/>
    readonly void IRing<PackedRing>.RecordComplete(ChainSlot* slot) => _record!.Complete(slot->Entry);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    readonly int IRing<PackedRing>.Available(int max, ref ChainFault fault) => IsAvailable(FlagsOf(_availPosition), _availWrap) ? max : 0;

    /// <inheritdoc/>
    bool IRing<PackedRing>.TryTake(ref ChainWalker walker, ChainSlot* slot, ref ChainFault fault)
    {
        // Acquire by the flags, then a snapshot that is checked again: nothing else is read of this descriptor.
        if (!IsAvailable(FlagsOf(_availPosition), _availWrap))
        {
            return false;
        }

        DescriptorSnapshot word = DescriptorSnapshot.Load(_desc + _availPosition);
        if (!IsAvailable(word.PackedFlags, _availWrap))
        {
            return false; // taken back between the two loads
        }

        (int descriptors, ushort id) = Walk(ref walker, slot, word, ref fault);
        if (fault != ChainFault.None)
        {
            return false;
        }

        if (_inFlight.Contains(id))
        {
            fault = ChainFault.HeadInFlight;
            return false;
        }

        if (_descriptorsInFlight + descriptors > _size)
        {
            fault = ChainFault.TooManyInFlight;
            return false;
        }

        _ = _inFlight.TryAdd(id);
        _descriptorsInFlight += descriptors;
        slot->Head = id;
        slot->RingDescriptors = (ushort)descriptors;
        Advance(ref _availPosition, ref _availWrap, descriptors);
        return true;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    int IRing<PackedRing>.TakeRun(ref ChainWalker walker, ChainSlot* slots, ushort* free, ushort* window, int count)
    {
        const uint Shape = (uint)(Marks | VirtqDescFlags.Next | VirtqDescFlags.Indirect);
        PackedDesc* desc = _desc + _availPosition, last = _desc + _size;
        ushort* to = window, end = window + Math.Min(count, _size - _descriptorsInFlight);
        uint wanted = (uint)(_availWrap ? VirtqDescFlags.Avail : VirtqDescFlags.Used);
        InFlightMap inFlight = _inFlight;
        while (to < end)
        {
            // Acquire by the flags, available and no list in one test; then a snapshot that is checked again.
            if ((Volatile.Read(ref ((ushort*)desc)[7]) & Shape) != wanted)
            {
                break;
            }

            DescriptorSnapshot word = DescriptorSnapshot.Load(desc);
            uint flags = (uint)word.PackedFlags, id = word.PackedId;
            if ((flags & Shape) != wanted || !inFlight.TryAdd(id))
            {
                break;
            }

            if (!walker.TrySetOnly(slots + *free, word.Addr, word.Len, (VirtqDescFlags)flags, id))
            {
                inFlight.Remove(id);
                break;
            }

            *to++ = *free--;
            if (++desc == last)
            {
                desc = _desc;
                wanted ^= (uint)Marks;
            }
        }

        int taken = (int)(to - window);
        _availPosition = (ushort)(desc - _desc);
        _availWrap = wanted == (uint)VirtqDescFlags.Avail;
        _descriptorsInFlight += taken;
        return taken;
    }

    /// <inheritdoc/>
    void IRing<PackedRing>.Rewind(ChainSlot* slot)
    {
        int position = _availPosition - slot->RingDescriptors;
        if (position < 0)
        {
            position += _size;
            _availWrap = !_availWrap;
        }

        _availPosition = (ushort)position;
        _inFlight.Remove(slot->Head);
        _descriptorsInFlight -= slot->RingDescriptors;
        _record?.Untake(slot->Entry);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    void IRing<PackedRing>.Complete(ChainSlot* slot, uint writtenBytes) => CompleteOne(slot, writtenBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CompleteOne(ChainSlot* slot, uint writtenBytes)
    {
        // Length, id and flags are the upper eight bytes of a descriptor: one aligned store publishes an element whole.
        ulong flags = (_usedWrap ? (ulong)Marks : 0) | (writtenBytes != 0 ? (ulong)VirtqDescFlags.Write : 0);
        ulong element = writtenBytes | ((ulong)slot->Head << 32) | (flags << 48);
        if (_batchInOrder && _pending != 0)
        {
            // One element with the last id, in the first one's place with its flags, stands for the batch (virtio 1.2 §2.8.8).
            _pendingElements[0] = (_pendingElements[0] & 0xffff_0000_ffff_ffff) | ((ulong)slot->Head << 32);
        }
        else
        {
            if (_pending == MaxPending)
            {
                StoreAllButFirst();
            }

            _pendingElements[_pending] = element;
            _pendingPositions[_pending] = _usedPosition;
            _pending++;
        }

        _pendingSlots += slot->RingDescriptors;
        Advance(ref _usedPosition, ref _usedWrap, slot->RingDescriptors);
        _inFlight.Remove(slot->Head);
    }

    /// <inheritdoc/>
    void IRing<PackedRing>.CompleteRun(ChainSlot* slots, ushort* indices, uint* writtenBytes, int count)
    {
        if (_batchInOrder || _pending + count > MaxPending)
        {
            for (int i = 0; i < count; i++)
            {
                CompleteOne(slots + indices[i], writtenBytes == null ? 0 : writtenBytes[i]);
            }

            return;
        }

        InFlightMap inFlight = _inFlight;
        uint position = _usedPosition, size = (uint)_size, completed = 0;
        ulong marks = _usedWrap ? (ulong)Marks << 48 : 0;
        ref ulong element = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_pendingElements), _pending);
        ref ushort at = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_pendingPositions), _pending);
        for (ushort* end = indices + count; indices < end; indices++)
        {
            ChainSlot* slot = slots + *indices;
            uint head = slot->Head, descriptors = slot->RingDescriptors;
            ulong value = marks | ((ulong)head << 32);
            if (writtenBytes != null)
            {
                uint written = *writtenBytes++;
                value |= written | (written != 0 ? (ulong)VirtqDescFlags.Write << 48 : 0);
            }

            element = value;
            element = ref Unsafe.Add(ref element, 1);
            at = (ushort)position;
            at = ref Unsafe.Add(ref at, 1);
            completed += descriptors;
            inFlight.Remove(head);
            position += descriptors;
            if (position >= size)
            {
                position -= size;
                marks ^= (ulong)Marks << 48;
            }
        }

        _usedPosition = (ushort)position;
        _usedWrap = marks != 0;
        _pending += count;
        _pendingSlots += (ushort)completed;
    }

    /// <inheritdoc/>
    bool IRing<PackedRing>.Publish()
    {
        if (_pending == 0)
        {
            return false;
        }

        // Release: the other elements of the batch and all data before the one that the driver polls. The record of the batch is complete before, and it is
        // crossed out afterwards: pairs with the successor, which looks at this very slot to know whether the batch was published.
        _record?.BeginBatch(_usedPosition, _usedWrap);
        StoreAllButFirst();
        InflightStore.CrashPoint();
        Volatile.Write(ref UpperHalf(_pendingPositions[0]), _pendingElements[0]);
        _record?.EndBatch();
        ushort slots = _pendingSlots;
        _descriptorsInFlight -= slots;
        _pending = 0;
        _pendingSlots = 0;

        // Full fence: the store above before the load of the event structure (StoreLoad). Pairs with the driver's fence between
        // writing its event structure and its last look at the descriptor flags.
        Interlocked.MemoryBarrier();
        if (_callOnce)
        {
            _callOnce = false;
            return true;
        }

        uint word = Volatile.Read(ref *_driverEvent);
        return (EventSuppression)((word >> 16) & 3) switch
        {
            EventSuppression.Disable => false,
            EventSuppression.Descriptor when _eventIdx => EventIdx.IsDuePacked((ushort)word, _usedPosition, _usedWrap, slots, _size),
            _ => true,
        };
    }

    /// <inheritdoc/>
    bool IRing<PackedRing>.TryArm()
    {
        // Offset, wrap counter and flags are one aligned word: the driver never sees a new flag with an old offset.
        uint word = _eventIdx
            ? _availPosition | (_availWrap ? 0x8000u : 0) | ((uint)EventSuppression.Descriptor << 16)
            : (uint)EventSuppression.Enable << 16;
        _kicksOff = false;
        Volatile.Write(ref *_deviceEvent, word);

        // Full fence: the store above before the flags are read again (StoreLoad). Pairs with the driver's fence between
        // publishing a descriptor and reading the device event structure.
        Interlocked.MemoryBarrier();
        return !IsAvailable(FlagsOf(_availPosition), _availWrap);
    }

    /// <inheritdoc/>
    void IRing<PackedRing>.Disarm()
    {
        // Also with EVENT_IDX: the word of a ring that was never armed asks for every kick, and a position left behind for one each other lap.
        if (!_kicksOff)
        {
            _kicksOff = true;
            Volatile.Write(ref *_deviceEvent, (uint)EventSuppression.Disable << 16);
        }
    }

    /// <inheritdoc/>
    readonly bool IRing<PackedRing>.TryLog(QueueConfig config, DirtyLog log)
    {
        // The front-end passes the event structure's address; the descriptor ring, which completions change, is known by its own.
        (uint descriptor, _, uint device) = config.AreaSizes();
        return config.UsedLog is not { } used || (log.TryMark(used, device) & log.TryMark(config.DescriptorArea, descriptor));
    }

    /// <summary>From the last to the first, so that the line which the driver polls moves once.</summary>
    private void StoreAllButFirst()
    {
        for (int i = _pending - 1; i > 0; i--)
        {
            InflightStore.CrashPoint();
            Volatile.Write(ref UpperHalf(_pendingPositions[i]), _pendingElements[i]);
        }

        _pending = 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsAvailable(VirtqDescFlags flags, bool wrap) =>
        (flags & Marks) == (wrap ? VirtqDescFlags.Avail : VirtqDescFlags.Used);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly VirtqDescFlags FlagsOf(ushort position) => (VirtqDescFlags)Volatile.Read(ref ((ushort*)(_desc + position))[7]);

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

    /// <summary>Follows a list of several descriptors or an indirect table. The first was published last, so the rest is complete.</summary>
    private readonly (int Descriptors, ushort Id) Walk(ref ChainWalker walker, ChainSlot* slot, DescriptorSnapshot word, ref ChainFault fault)
    {
        ChainSlot.Reset(slot);
        fault = Walk(ref walker, slot, word, out int descriptors, out ushort id);
        return (descriptors, id);
    }

    private readonly ChainFault Walk(ref ChainWalker walker, ChainSlot* slot, DescriptorSnapshot word, out int descriptors, out ushort id)
    {
        descriptors = 1;
        id = word.PackedId;
        if ((word.PackedFlags & VirtqDescFlags.Indirect) != 0)
        {
            return (word.PackedFlags & VirtqDescFlags.Next) != 0
                ? ChainFault.IndirectWithNext
                : walker.AddIndirect(slot, word.Addr, word.Len, 0, packed: true);
        }

        ushort position = _availPosition;
        bool wrap = _availWrap;
        while (true)
        {
            ChainFault fault = walker.Add(slot, word.Addr, word.Len, word.PackedFlags);
            if (fault != ChainFault.None)
            {
                return fault;
            }

            id = word.PackedId;
            if ((word.PackedFlags & VirtqDescFlags.Next) == 0)
            {
                return ChainFault.None;
            }

            if (++descriptors > _size)
            {
                return ChainFault.ChainTooLong;
            }

            Advance(ref position, ref wrap, 1);
            word = DescriptorSnapshot.Load(_desc + position);
            if ((word.PackedFlags & VirtqDescFlags.Indirect) != 0)
            {
                return ChainFault.IndirectWithNext;
            }
        }
    }
}
