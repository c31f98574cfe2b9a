using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Chains;

/// <summary>Turns descriptor snapshots into checked buffers of a slot. Knows every rule about chains and nothing about cursors.</summary>
/// <remarks>Worker thread only. One per queue; a struct inside the queue, so that the hint below stays beside the cursors.</remarks>
internal unsafe struct ChainWalker : IDisposable
{
    /// <summary>Entries an indirect table may have even if the ring is shorter: drivers in the field exceed the queue size.</summary>
    public const int MaxIndirectEntries = 1024;

    /// <summary>Chains with more than <see cref="ChainSlot.InlineBuffers"/> buffers that may be in flight at once; the next one waits.</summary>
    private const int MaxChunks = 256;

    /// <summary>Buffers that region borders may add to a chain beyond one for each descriptor.</summary>
    private const int SplitAllowance = 512;

    private readonly int _queueSize;
    private readonly bool _indirectNegotiated;
    private readonly VirtqDescFlags _writeFlag; // none on queues that are never written to: what is marked there is read like the rest
    private readonly int _chunkBuffers;
    private readonly int _chunkCount;
    private readonly Mapping _scratch;
    private readonly short* _freeChunks;
    private int _freeCount;
    private GuestMemory _memory;

    // The region of the last buffer: nearly always the region of the next one. Dies with the table.
    private ulong _hintBase;
    private ulong _hintSize;
    private byte* _hintHost;

    public ChainWalker(QueueConfig config, GuestMemory memory)
    {
        _queueSize = config.Size;
        _writeFlag = config.CompletesInOrderWithoutWriting ? VirtqDescFlags.None : VirtqDescFlags.Write;
        _indirectNegotiated = config.Has(VirtioFeatures.IndirectDesc);
        _chunkBuffers = Math.Max(config.Size, MaxIndirectEntries) + SplitAllowance;
        _chunkCount = Math.Min(config.Size, MaxChunks);
        nuint freeBytes = ((nuint)_chunkCount * sizeof(short) + 63) & ~(nuint)63;
        nuint tableBytes = (nuint)MaxTableEntries * (nuint)sizeof(VirtqDesc);
        _scratch = Mapping.Anonymous(freeBytes + tableBytes + ((nuint)_chunkCount * (nuint)_chunkBuffers * (nuint)sizeof(GuestBuffer)));
        _freeChunks = (short*)_scratch.Address;
        Table = (VirtqDesc*)(_scratch.Address + freeBytes);
        Chunks = (GuestBuffer*)(_scratch.Address + freeBytes + tableBytes);
        for (int i = 0; i < _chunkCount; i++)
        {
            _freeChunks[i] = (short)(_chunkCount - 1 - i);
        }

        _freeCount = _chunkCount;
        _memory = memory;
    }

    /// <summary>True while a chain of any length can be taken.</summary>
    public readonly bool HasRoom => _freeCount != 0;

    /// <summary>Private copy of an indirect table: parsed from here, so that each entry is read from the guest once.</summary>
    private VirtqDesc* Table { get; }

    private GuestBuffer* Chunks { get; }

    private readonly int MaxTableEntries => Math.Max(_queueSize, MaxIndirectEntries);

    /// <summary>Translates through <paramref name="memory"/> from now on.</summary>
    public void SetMemory(GuestMemory memory)
    {
        _memory = memory;
        _hintBase = 0;
        _hintSize = 0;
        _hintHost = null;
    }

    /// <summary>Makes a whole chain of one buffer, where that lies in the region of the last one: what nearly every chain of a network queue is.</summary>
    /// <returns>False when it does not; the slot was not touched then.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool TrySetOnly(ChainSlot* slot, ulong address, uint lengthBytes, VirtqDescFlags flags, uint head)
    {
        ulong offset = address - _hintBase; // below the region wraps to a huge value and fails the next test
        if (offset >= _hintSize || lengthBytes > _hintSize - offset || lengthBytes == 0)
        {
            return false;
        }

        ChainSlot.SetOnly(slot, _hintHost + offset, lengthBytes, (flags & _writeFlag) != 0, head);
        return true;
    }

    /// <summary>Appends a buffer: order, total, translation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ChainFault Add(ChainSlot* slot, ulong address, uint lengthBytes, VirtqDescFlags flags)
    {
        bool writable = (flags & _writeFlag) != 0;
        ulong offset = address - _hintBase; // below the region wraps to a huge value and fails the next test
        if (offset >= _hintSize || lengthBytes > _hintSize - offset || lengthBytes == 0
            || slot->ReadableCount + slot->WritableCount >= ChainSlot.InlineBuffers || lengthBytes > uint.MaxValue - slot->ReadableBytes - slot->WritableBytes
            || (!writable && slot->WritableCount != 0))
        {
            return AddSlowly(slot, address, lengthBytes, writable);
        }

        GuestBuffer* buffer = slot->Buffers + slot->ReadableCount + slot->WritableCount;
        buffer->Host = _hintHost + offset;
        buffer->LengthBytes = lengthBytes;
        if (writable)
        {
            slot->WritableCount++;
            slot->WritableBytes += lengthBytes;
        }
        else
        {
            slot->ReadableCount++;
            slot->ReadableBytes += lengthBytes;
        }

        return ChainFault.None;
    }

    /// <summary>Copies an indirect table out and appends its buffers (virtio 1.2 §2.7.5.3, §2.8.9).</summary>
    /// <param name="slot">The chain.</param>
    /// <param name="address">Guest address of the table; any alignment, any number of neighbouring regions.</param>
    /// <param name="lengthBytes">Length of the table in bytes.</param>
    /// <param name="descriptorsBefore">Descriptors of the chain in front of the table; they count towards its length.</param>
    /// <param name="packed">A packed table is an array in order, a split one is linked by next.</param>
    public ChainFault AddIndirect(ChainSlot* slot, ulong address, uint lengthBytes, int descriptorsBefore, bool packed)
    {
        if (!_indirectNegotiated)
        {
            return ChainFault.IndirectNotNegotiated;
        }

        int max = MaxTableEntries;
        if (lengthBytes == 0 || lengthBytes % (uint)sizeof(VirtqDesc) != 0 || lengthBytes / (uint)sizeof(VirtqDesc) > (uint)max)
        {
            return ChainFault.IndirectLength;
        }

        int entries = (int)(lengthBytes / (uint)sizeof(VirtqDesc));
        if (!_memory.TryRead(new GuestAddress(address), new Span<byte>(Table, (int)lengthBytes)))
        {
            return ChainFault.IndirectUnmapped;
        }

        return packed ? AddPackedTable(slot, entries) : AddSplitTable(slot, entries, max - descriptorsBefore);
    }

    /// <summary>Takes the overflow chunk of a slot back.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Free(ChainSlot* slot)
    {
        if (slot->Chunk >= 0)
        {
            _freeChunks[_freeCount++] = slot->Chunk;
            slot->Chunk = -1;
        }
    }

    /// <inheritdoc/>
    public readonly void Dispose() => _scratch.Dispose();

    private ChainFault AddPackedTable(ChainSlot* slot, int entries)
    {
        // Packed table entries have the id where split ones have the flags' neighbour: read them in their own layout.
        var table = (PackedDesc*)Table;
        for (int i = 0; i < entries; i++)
        {
            if ((table[i].Flags & VirtqDescFlags.Indirect) != 0)
            {
                return ChainFault.IndirectNested;
            }

            ChainFault fault = Add(slot, table[i].Addr, table[i].Len, table[i].Flags);
            if (fault != ChainFault.None)
            {
                return fault;
            }
        }

        return ChainFault.None;
    }

    private ChainFault AddSplitTable(ChainSlot* slot, int entries, int budget)
    {
        for (int index = 0; ;)
        {
            if (budget-- <= 0)
            {
                return ChainFault.ChainTooLong;
            }

            VirtqDesc entry = Table[index];
            if ((entry.Flags & VirtqDescFlags.Indirect) != 0)
            {
                return ChainFault.IndirectNested;
            }

            ChainFault fault = Add(slot, entry.Addr, entry.Len, entry.Flags);
            if (fault != ChainFault.None || (entry.Flags & VirtqDescFlags.Next) == 0)
            {
                return fault;
            }

            index = entry.Next;
            if (index >= entries)
            {
                return ChainFault.NextOutOfRange;
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private ChainFault AddSlowly(ChainSlot* slot, ulong address, uint lengthBytes, bool writable)
    {
        if (!writable && slot->WritableCount != 0)
        {
            return ChainFault.ReadableAfterWritable;
        }

        if (lengthBytes > uint.MaxValue - slot->ReadableBytes - slot->WritableBytes)
        {
            return ChainFault.TotalTooLong;
        }

        if (lengthBytes == 0)
        {
            return _memory.TranslateHead(address, 1, out _) == 0 ? ChainFault.BufferUnmapped : ChainFault.None;
        }

        while (lengthBytes != 0)
        {
            uint piece = _memory.TranslateHead(address, lengthBytes, out byte* host);
            if (piece == 0)
            {
                return ChainFault.BufferUnmapped;
            }

            int count = slot->ReadableCount + slot->WritableCount;
            if (count >= (slot->Chunk < 0 ? ChainSlot.InlineBuffers : _chunkBuffers) && !TryGrow(slot, count))
            {
                return ChainFault.ChainTooLong;
            }

            slot->Buffers[count].Host = host;
            slot->Buffers[count].LengthBytes = piece;
            if (writable)
            {
                slot->WritableCount++;
                slot->WritableBytes += piece;
            }
            else
            {
                slot->ReadableCount++;
                slot->ReadableBytes += piece;
            }

            lengthBytes -= piece;
            if (lengthBytes != 0 && address > ulong.MaxValue - piece)
            {
                return ChainFault.BufferUnmapped;
            }

            address = unchecked(address + piece);
        }

        Hint(unchecked(address - 1));
        return ChainFault.None;
    }

    private void Hint(ulong address)
    {
        GuestRegion? region = _memory.RegionOf(address);
        if (region is not null)
        {
            _hintBase = region.Guest.Value;
            _hintSize = region.SizeBytes;
            _hintHost = region.Host;
        }
    }

    private bool TryGrow(ChainSlot* slot, int count)
    {
        if (slot->Chunk >= 0 || _freeCount == 0)
        {
            return false;
        }

        slot->Chunk = _freeChunks[--_freeCount];
        GuestBuffer* chunk = Chunks + ((nint)slot->Chunk * _chunkBuffers);
        new ReadOnlySpan<GuestBuffer>(slot->Buffers, count).CopyTo(new Span<GuestBuffer>(chunk, count));
        slot->Buffers = chunk;
        return true;
    }
}
