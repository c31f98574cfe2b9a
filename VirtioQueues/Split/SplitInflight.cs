using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Inflight;

namespace Paravane.VirtioQueues.Split;

/// <summary>One split queue's part of the record of requests in flight: written at every step, read once, when the queue starts.</summary>
/// <remarks>
/// Worker thread only. What is needed while running is kept privately: nothing of the shared part is ever read back, so whoever changes it there
/// harms nobody but the successor's guest. The process may die between any two stores; <see cref="Resume"/> tells what each state means.
/// </remarks>
internal sealed unsafe class SplitInflight
{
    private readonly InflightSplitHeader* _header;
    private readonly InflightSplitEntry* _entries;
    private readonly int _entryCount;
    private readonly ushort[] _batch; // heads completed since the last publication
    private int _batchCount;
    private ushort _lastBatchHead;
    private ulong _counter;

    // Heads that a predecessor took and that cannot be had from the available ring any more, oldest first.
    private ushort[] _again = [];
    private int _againNext;

    public SplitInflight(QueueConfig config)
    {
        // SAFETY: QueueConfig.FindError checked that the part of this queue lies inside the mapping, which outlives the queue.
        byte* part = config.Inflight!.Find(config.Index, RingFormat.Split);
        _header = (InflightSplitHeader*)part;
        _entries = (InflightSplitEntry*)(part + sizeof(InflightSplitHeader));
        _entryCount = config.Inflight.QueueSize;
        _batch = new ushort[config.Size];
    }

    /// <summary>Requests of a predecessor that wait to be taken.</summary>
    public int Unserved => _again.Length - _againNext;

    /// <summary>Head of the next of them; below the ring's size.</summary>
    public ushort NextUnserved => _again[_againNext];

    /// <summary>Takes the record up where a predecessor left it, or begins one.</summary>
    /// <param name="ringSize">Descriptors of the ring.</param>
    /// <param name="used">used.idx.</param>
    /// <param name="available">First entry of the available ring.</param>
    /// <param name="nextAvail">Next available index: corrected where the record knows better.</param>
    /// <returns><see cref="ChainFault.InflightRecord"/> when the record contradicts itself or the ring.</returns>
    public ChainFault Resume(int ringSize, ushort used, ushort* available, ref ushort nextAvail)
    {
        ushort version = Volatile.Read(ref _header->Version);
        if (version == 0)
        {
            Begin(used);
            return ChainFault.None;
        }

        if (version != InflightRecord.Version || !TryEndBatch(ringSize, used))
        {
            return ChainFault.InflightRecord;
        }

        var counters = new List<ulong>();
        var heads = new List<ushort>();
        for (int i = 0; i < _entryCount; i++)
        {
            byte inflight = Volatile.Read(ref _entries[i].Inflight);
            if (inflight == 0)
            {
                continue;
            }

            ulong counter = Volatile.Read(ref _entries[i].Counter);
            if (inflight != 1 || i >= ringSize || counter == ulong.MaxValue)
            {
                return ChainFault.InflightRecord;
            }

            counters.Add(counter);
            heads.Add((ushort)i);
        }

        ushort[] order = [.. heads];
        ulong[] keys = [.. counters];
        Array.Sort(keys, order);
        _counter = keys.Length == 0 ? 0 : keys[^1] + 1;

        // Every entry of the available ring before this index was taken, and is either used by now or in flight.
        nextAvail = unchecked((ushort)(used + order.Length));
        _again = Rewind(order, ringSize, available, ref nextAvail);
        return ChainFault.None;
    }

    /// <summary>A chain was taken.</summary>
    public void Take(ushort head)
    {
        InflightSplitEntry* entry = _entries + head;
        InflightStore.Write(ref entry->Counter, _counter++); // before the mark: a successor sorts by it
        InflightStore.Write(ref entry->Inflight, 1);
    }

    /// <summary>The chain that was taken last goes back to the ring.</summary>
    public void Untake(ushort head) => InflightStore.Write(ref _entries[head].Inflight, 0);

    /// <summary>The next unserved request was taken.</summary>
    public void Serve() => _againNext++;

    /// <summary>The request that was served last waits again.</summary>
    public void Unserve() => _againNext--;

    /// <summary>A chain is about to be completed: it joins the batch, before its used element is written.</summary>
    public void Link(ushort head)
    {
        InflightStore.Write(ref _entries[head].Next, _lastBatchHead);
        InflightStore.Write(ref _header->LastBatchHead, head);
        _lastBatchHead = head;
        _batch[_batchCount++] = head;
    }

    /// <summary>The batch was published: used.idx is <paramref name="used"/>.</summary>
    public void EndBatch(ushort used)
    {
        // Until the last store below, a successor finds used.idx ahead of the record and ends this batch itself, by the links.
        for (int i = 0; i < _batchCount; i++)
        {
            InflightStore.Write(ref _entries[_batch[i]].Inflight, 0);
        }

        InflightStore.Write(ref _header->UsedIdx, used);
        _batchCount = 0;
    }

    private void Begin(ushort used)
    {
        for (int i = 0; i < _entryCount; i++)
        {
            _entries[i] = default;
        }

        _header->Features = 0;
        _header->DescNum = (ushort)_entryCount;
        _header->LastBatchHead = 0;
        _header->UsedIdx = used; // not 0: a ring that was migrated in does not start there
        InflightStore.Write(ref _header->Version, InflightRecord.Version); // last: before it, there is no record
    }

    /// <summary>What the predecessor published and had no time to cross out: as many entries as used.idx is ahead, the last one first.</summary>
    private bool TryEndBatch(int ringSize, ushort used)
    {
        ushort head = Volatile.Read(ref _header->LastBatchHead);
        ushort batch = unchecked((ushort)(used - Volatile.Read(ref _header->UsedIdx)));
        if (batch > ringSize)
        {
            return false;
        }

        _lastBatchHead = head;
        for (int i = 0; i < batch; i++)
        {
            if (head >= _entryCount)
            {
                return false;
            }

            InflightStore.Write(ref _entries[head].Inflight, 0);
            head = Volatile.Read(ref _entries[head].Next);
        }

        InflightStore.Write(ref _header->UsedIdx, used);
        return true;
    }

    /// <summary>
    /// Gives back to the ring what can be taken from it once more: as long as the youngest request is the last entry that was taken. With a device that
    /// completes in order that is all of them, and the queue's state is exact again.
    /// </summary>
    /// <returns>The others, oldest first: younger ones than theirs were completed before them.</returns>
    private ushort[] Rewind(ushort[] order, int ringSize, ushort* available, ref ushort nextAvail)
    {
        int count = order.Length;
        while (count > 0 && Volatile.Read(ref available[unchecked((ushort)(nextAvail - 1)) & (ringSize - 1)]) == order[count - 1])
        {
            Untake(order[--count]); // youngest first: «used.idx plus those in flight» stays the next index, wherever this ends
            nextAvail--;
        }

        return order[..count];
    }
}
