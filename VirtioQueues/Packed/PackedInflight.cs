using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Packed;

/// <summary>One packed queue's part of the record of requests in flight: written at every step, read once, when the queue starts.</summary>
/// <remarks>
/// Worker thread only. What is needed while running (free list, last entries, positions) is kept privately: nothing of the shared part is ever read back, so
/// whoever changes it there harms nobody but the successor's guest. The process may die between any two stores; <see cref="Resume"/> tells what each state means.
/// </remarks>
internal sealed unsafe class PackedInflight
{
    private const ushort Marks = (ushort)(VirtqDescFlags.Avail | VirtqDescFlags.Used);

    private readonly InflightPackedHeader* _header;
    private readonly InflightPackedEntry* _entries;
    private readonly int _entryCount;
    private readonly ushort[] _next; // of the free list and inside lists
    private readonly ushort[] _last; // by first entry
    private readonly ushort[] _batch; // first entries of lists completed since the last publication
    private int _batchCount;
    private ushort _freeHead;
    private ushort _usedPosition; // as published
    private bool _usedWrap;
    private ulong _counter;

    public PackedInflight(QueueConfig config)
    {
        // SAFETY: QueueConfig.FindError checked that the part of this queue lies inside the mapping, which outlives the queue.
        byte* part = config.Inflight!.Find(config.Index, RingFormat.Packed);
        _header = (InflightPackedHeader*)part;
        _entries = (InflightPackedEntry*)(part + sizeof(InflightPackedHeader));
        _entryCount = config.Inflight.QueueSize;
        _next = new ushort[_entryCount];
        _last = new ushort[_entryCount];
        _batch = new ushort[config.Size];
    }

    /// <summary>Takes the record up where a predecessor left it, or begins one.</summary>
    /// <remarks>
    /// Slots from the used position up to the available position belong to the device. The lists in flight are laid out there anew, oldest first, from the copies in
    /// the record: used elements have overwritten some, and elements of a batch that was never published must not be found by the driver
    /// once it gets there. From then on they are ordinary available lists and nothing is in flight: the ring alone tells what is to be done.
    /// </remarks>
    /// <param name="ring">Descriptor ring.</param>
    /// <param name="ringSize">Descriptors of the ring.</param>
    /// <param name="position">Where the ring goes on, taking and completing: corrected where the record knows better.</param>
    /// <param name="wrap">Wrap counter of <paramref name="position"/>.</param>
    /// <param name="fault"><see cref="ChainFault.InflightRecord"/> when the record contradicts itself or the ring.</param>
    /// <returns>False when nothing was known: the ring begins where it was told to. True: the position is the used and the available one.</returns>
    public bool Resume(PackedDesc* ring, int ringSize, ref ushort position, ref bool wrap, ref ChainFault fault)
    {
        ushort version = Volatile.Read(ref _header->Version);
        if (version == 0)
        {
            Begin(position, wrap);
            return false;
        }

        if (version != InflightRecord.Version || !TrySettle(ring, ringSize) || !TryReadLists(ringSize, out List<SavedList> lists))
        {
            fault = ChainFault.InflightRecord;
            return false;
        }

        position = _usedPosition;
        wrap = _usedWrap;
        Lay(lists, ring, ringSize);
        for (int i = lists.Count - 1; i >= 0; i--)
        {
            // Youngest first: what stays marked always ends where the available lists begin.
            InflightStore.Write(ref _entries[lists[i].First].Inflight, 0);
        }

        FreeAll();
        return true;
    }

    /// <summary>A list was taken.</summary>
    /// <param name="ring">Descriptor ring.</param>
    /// <param name="ringSize">Descriptors of the ring.</param>
    /// <param name="position">Slot of the list's first descriptor.</param>
    /// <param name="count">Its descriptors.</param>
    /// <returns>The list's first entry.</returns>
    public ushort Take(PackedDesc* ring, int ringSize, int position, int count)
    {
        ushort first = _freeHead, entry = first;
        InflightPackedEntry* list = _entries + first;
        InflightStore.Write(ref list->Num, 0);
        InflightStore.Write(ref list->Counter, _counter++); // before the mark: a successor sorts by it
        InflightStore.Write(ref list->Inflight, 1);
        for (int i = 1; ; i++)
        {
            // A second look at the ring: what the driver changed in between is for the successor to refuse or to do, and is not used here.
            DescriptorSnapshot word = DescriptorSnapshot.Load(ring + position);
            InflightStore.Write(ref _entries[entry].IdFlagsLen, word.PackedId | ((ulong)word.PackedFlags << 16) | ((ulong)word.Len << 32));
            InflightStore.Write(ref _entries[entry].Addr, word.Addr);
            InflightStore.Write(ref list->Num, (ushort)i);
            InflightStore.Write(ref _header->FreeHead, _next[entry]);
            if (i == count)
            {
                break;
            }

            entry = _next[entry];
            position = position + 1 == ringSize ? 0 : position + 1;
        }

        InflightStore.Write(ref list->Last, entry);
        _last[first] = entry;
        _freeHead = _next[entry];
        InflightStore.Write(ref _header->OldFreeHead, _freeHead); // from here on the list is in flight; before, its entries are free to a successor
        return first;
    }

    /// <summary>The list that was taken last goes back to the ring.</summary>
    public void Untake(ushort first)
    {
        // Free first, then not in flight: an entry that is both counts as free.
        Free(first);
        InflightStore.Write(ref _header->OldFreeHead, _freeHead);
        InflightStore.Write(ref _entries[first].Inflight, 0);
    }

    /// <summary>A list is about to be completed; it stays in flight until the batch is published.</summary>
    public void Complete(ushort first) => _batch[_batchCount++] = first;

    /// <summary>The batch is about to be published, which moves the used position to <paramref name="position"/>.</summary>
    public void BeginBatch(ushort position, bool wrap)
    {
        // None of this counts before the driver can see the first element of the batch: until then a successor goes back to the old values.
        for (int i = 0; i < _batchCount; i++)
        {
            Free(_batch[i]);
        }

        InflightStore.Write(ref _header->Positions, Positions(position, wrap, _usedPosition, _usedWrap));
        _usedPosition = position;
        _usedWrap = wrap;
    }

    /// <summary>The batch was published.</summary>
    public void EndBatch()
    {
        for (int i = 0; i < _batchCount; i++)
        {
            InflightStore.Write(ref _entries[_batch[i]].Inflight, 0);
        }

        InflightStore.Write(ref _header->OldFreeHead, _freeHead);
        InflightStore.Write(ref _header->Positions, Positions(_usedPosition, _usedWrap, _usedPosition, _usedWrap));
        _batchCount = 0;
    }

    private static ulong Positions(ushort used, bool usedWrap, ushort old, bool oldWrap) =>
        new InflightPackedHeader { UsedIdx = used, OldUsedIdx = old, UsedWrap = usedWrap ? (byte)1 : (byte)0, OldUsedWrap = oldWrap ? (byte)1 : (byte)0 }.Positions;

    private void Free(ushort first)
    {
        ushort last = _last[first];
        InflightStore.Write(ref _entries[last].Next, _freeHead);
        InflightStore.Write(ref _header->FreeHead, first);
        _next[last] = _freeHead;
        _freeHead = first;
    }

    private void Begin(ushort position, bool wrap)
    {
        for (int i = 0; i < _entryCount; i++)
        {
            _entries[i] = default;
        }

        _header->Features = 0;
        _header->DescNum = (ushort)_entryCount;
        _usedPosition = position;
        _usedWrap = wrap;
        _header->Positions = Positions(position, wrap, position, wrap);
        FreeAll();
        InflightStore.Write(ref _header->Version, InflightRecord.Version); // last: before it, there is no record
    }

    private void FreeAll()
    {
        // Empty in between: old and new links together could lead round in circles.
        InflightStore.Write(ref _header->OldFreeHead, (ushort)_entryCount);
        InflightStore.Write(ref _header->FreeHead, (ushort)_entryCount);
        for (int i = 0; i < _entryCount; i++)
        {
            _next[i] = (ushort)(i + 1); // past the last: the end
            InflightStore.Write(ref _entries[i].Next, _next[i]);
        }

        _freeHead = 0;
        InflightStore.Write(ref _header->FreeHead, 0);
        InflightStore.Write(ref _header->OldFreeHead, 0);
    }

    /// <summary>Decides whether the predecessor's last batch counts: it does once the driver could see it. The positions are private and agreed afterwards.</summary>
    private bool TrySettle(PackedDesc* ring, int ringSize)
    {
        InflightPackedHeader read = default;
        read.Positions = Volatile.Read(ref _header->Positions);
        read.FreeHead = Volatile.Read(ref _header->FreeHead);
        read.OldFreeHead = Volatile.Read(ref _header->OldFreeHead);
        if (read.UsedIdx >= ringSize || read.OldUsedIdx >= ringSize || read.UsedWrap > 1 || read.OldUsedWrap > 1)
        {
            return false;
        }

        // A batch that fills the ring changes nothing but the wrap counter.
        _usedPosition = read.OldUsedIdx;
        _usedWrap = read.OldUsedWrap != 0;
        _freeHead = read.OldFreeHead;
        if (read.UsedIdx != read.OldUsedIdx || read.UsedWrap != read.OldUsedWrap)
        {
            var flags = (VirtqDescFlags)Volatile.Read(ref ((ushort*)(ring + read.OldUsedIdx))[7]);
            if ((flags & (VirtqDescFlags.Avail | VirtqDescFlags.Used)) != (_usedWrap ? VirtqDescFlags.Avail : VirtqDescFlags.Used))
            {
                _usedPosition = read.UsedIdx;
                _usedWrap = read.UsedWrap != 0;
                _freeHead = read.FreeHead;
                InflightStore.Write(ref _header->OldFreeHead, _freeHead);
            }
        }

        InflightStore.Write(ref _header->FreeHead, _freeHead);
        InflightStore.Write(ref _header->Positions, Positions(_usedPosition, _usedWrap, _usedPosition, _usedWrap));
        return true;
    }

    /// <summary>Private copies of the lists in flight, oldest first; entries of the free list are not in flight whatever they say.</summary>
    private bool TryReadLists(int ringSize, out List<SavedList> lists)
    {
        lists = [];
        var taken = new bool[_entryCount];
        for (int entry = _freeHead; entry < _entryCount; entry = Volatile.Read(ref _entries[entry].Next))
        {
            if (taken[entry])
            {
                return false; // a loop
            }

            taken[entry] = true;
            if (Volatile.Read(ref _entries[entry].Inflight) != 0)
            {
                InflightStore.Write(ref _entries[entry].Inflight, 0);
            }
        }

        int slots = 0;
        for (int i = 0; i < _entryCount; i++)
        {
            byte inflight = Volatile.Read(ref _entries[i].Inflight);
            if (inflight == 0)
            {
                continue;
            }

            if (inflight != 1 || !TryReadList(i, ringSize - slots, taken, out SavedList list))
            {
                return false;
            }

            slots += list.Descriptors.Length;
            lists.Add(list);
        }

        lists.Sort(static (a, b) => a.Counter.CompareTo(b.Counter));
        _counter = lists.Count == 0 ? 0 : lists[^1].Counter + 1;
        return true;
    }

    private bool TryReadList(int first, int maxDescriptors, bool[] taken, out SavedList list)
    {
        list = default;
        ulong counter = Volatile.Read(ref _entries[first].Counter);
        int count = Volatile.Read(ref _entries[first].Num);
        if (count == 0 || count > maxDescriptors || counter == ulong.MaxValue)
        {
            return false;
        }

        var descriptors = new PackedDesc[count];
        int entry = first;
        for (int i = 0; ; i++)
        {
            if (entry >= _entryCount || taken[entry])
            {
                return false;
            }

            taken[entry] = true;
            var saved = new InflightPackedEntry { IdFlagsLen = Volatile.Read(ref _entries[entry].IdFlagsLen) };
            var flags = (VirtqDescFlags)(saved.Flags & ~Marks);
            descriptors[i] = new PackedDesc(Volatile.Read(ref _entries[entry].Addr), saved.Len, saved.Id, flags);
            bool isLast = i == count - 1;
            if (((flags & VirtqDescFlags.Next) != 0) == isLast)
            {
                return false; // laid out like this it would end elsewhere
            }

            if (isLast)
            {
                list = new SavedList((ushort)first, counter, descriptors);
                return entry == Volatile.Read(ref _entries[first].Last);
            }

            entry = Volatile.Read(ref _entries[entry].Next);
        }
    }

    private void Lay(List<SavedList> lists, PackedDesc* ring, int ringSize)
    {
        int position = _usedPosition;
        bool wrap = _usedWrap;
        foreach (SavedList list in lists)
        {
            foreach (PackedDesc descriptor in list.Descriptors)
            {
                // The driver polls one of these slots: what it finds there says «not used» before, in between and afterwards.
                ulong flags = (ulong)descriptor.Flags | (ulong)(wrap ? VirtqDescFlags.Avail : VirtqDescFlags.Used);
                ulong* slot = (ulong*)(ring + position);
                InflightStore.Write(ref slot[0], descriptor.Addr);
                InflightStore.Write(ref slot[1], descriptor.Len | ((ulong)descriptor.Id << 32) | (flags << 48));
                if (++position == ringSize)
                {
                    position = 0;
                    wrap = !wrap;
                }
            }
        }
    }

    /// <summary>A list as it was taken, checked.</summary>
    private readonly record struct SavedList(ushort First, ulong Counter, PackedDesc[] Descriptors);
}
