using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Inflight;

/// <summary>
/// The requests in flight of all queues of a device, in memory that outlives the process: what was taken and not shown as used when it died is done by its
/// successor (vhost-user: «Inflight I/O tracking»). Behind the parts of all queues is room for one word that the device keeps for its successor.
/// </summary>
/// <remarks>
/// Queues write their own parts, each on its worker's thread, and read them once, when they start. Whoever holds the file may have written anything there.
/// The word lies behind what the specification lays out, so that other programs neither see nor miss it: a record of theirs has none.
/// Disposed after the last queue that uses it.
/// </remarks>
public sealed unsafe class InflightRecord : IDisposable
{
    /// <summary>Layout version that is written and understood.</summary>
    public const ushort Version = 1;

    private const ulong Alignment = 64, PageBytes = 4096;

    /// <summary>Room behind the parts: the word, and the rest of its cache line.</summary>
    private const ulong WordRoomBytes = Alignment;

    private readonly Mapping _mapping;
    private readonly byte* _start;
    private readonly ulong _sizeBytes;

    private InflightRecord(Mapping mapping, byte* start, ulong sizeBytes, int queueCount, int queueSize)
    {
        _mapping = mapping;
        _start = start;
        _sizeBytes = sizeBytes;
        QueueCount = queueCount;
        QueueSize = queueSize;
    }

    /// <summary>Queues that have a part.</summary>
    public int QueueCount { get; }

    /// <summary>Entries of each part; a queue may be smaller.</summary>
    public int QueueSize { get; }

    /// <summary>Bytes of each queue's part; the next one begins there.</summary>
    public static ulong PartBytes(RingFormat format, int queueSize)
    {
        ulong bytes = format == RingFormat.Packed
            ? (ulong)sizeof(InflightPackedHeader) + ((ulong)queueSize * (ulong)sizeof(InflightPackedEntry))
            : (ulong)sizeof(InflightSplitHeader) + ((ulong)queueSize * (ulong)sizeof(InflightSplitEntry));
        return (bytes + Alignment - 1) & ~(Alignment - 1);
    }

    /// <summary>Bytes of the parts of all queues: what a record has at least, whoever made it.</summary>
    public static ulong BytesNeeded(RingFormat format, int queueCount, int queueSize) => (ulong)queueCount * PartBytes(format, queueSize);

    /// <summary>Bytes of a record with room for the device's word.</summary>
    public static ulong BytesWithWord(RingFormat format, int queueCount, int queueSize) => BytesNeeded(format, queueCount, queueSize) + WordRoomBytes;

    /// <summary>A zeroed record with room for the device's word, which no queue has used. Its size is fixed by seals.</summary>
    /// <exception cref="LinuxException">Not enough memory.</exception>
    public static MemFd Create(RingFormat format, int queueCount, int queueSize) =>
        MemFd.Create("paravane-inflight", BytesWithWord(format, queueCount, queueSize));

    /// <summary>Maps a record. The file may be closed afterwards.</summary>
    /// <param name="file">Memory that cannot shrink, or else its holder could end this process at any moment by taking pages away.</param>
    /// <param name="offsetBytes">Offset of the record in the file, a multiple of 8.</param>
    /// <param name="sizeBytes">Size in bytes.</param>
    /// <param name="queueCount">Queues that have a part.</param>
    /// <param name="queueSize">Entries of each part.</param>
    /// <exception cref="GuestMemoryException">The record is not inside the file, or the file may shrink or cannot be mapped.</exception>
    public static InflightRecord Map(FileDescriptor file, ulong offsetBytes, ulong sizeBytes, int queueCount, int queueSize)
    {
        ArgumentNullException.ThrowIfNull(file);
        FileStatus status = FileStatus.Of(file);
        if (sizeBytes == 0 || !status.IsRegular || offsetBytes > status.SizeBytes || sizeBytes > status.SizeBytes - offsetBytes)
        {
            throw new GuestMemoryException($"inflight record of 0x{sizeBytes:x} bytes at offset 0x{offsetBytes:x} is not inside its file (0x{status.SizeBytes:x} bytes)");
        }

        if (offsetBytes % sizeof(ulong) != 0)
        {
            throw new GuestMemoryException($"inflight record at offset 0x{offsetBytes:x}: it is not 8-byte aligned");
        }

        if (!MemFd.TrySealSize(file))
        {
            throw new GuestMemoryException("inflight record: its file can shrink; it must be a memfd sealed against that, or one that may be sealed");
        }

        // Nothing beyond the larger of the two layouts is ever used, whatever the holder calls its size.
        sizeBytes = Math.Min(sizeBytes, BytesWithWord(RingFormat.Packed, queueCount, queueSize));
        ulong alignment = Math.Max(PageBytes, status.IsHugePage ? status.BlockSizeBytes : 0);
        ulong start = offsetBytes & ~(alignment - 1);
        ulong lengthBytes = (offsetBytes - start + sizeBytes + alignment - 1) & ~(alignment - 1);
        try
        {
            Mapping mapping = Mapping.OfFile(file, start, checked((nuint)lengthBytes));
            mapping.ExcludeFromCoreDumps();
            return new InflightRecord(mapping, mapping.Address + (offsetBytes - start), sizeBytes, queueCount, queueSize);
        }
        catch (LinuxException failure)
        {
            throw new GuestMemoryException($"inflight record: {failure.Message}", failure);
        }
    }

    /// <summary>Whether queue <paramref name="index"/> of this size and format has a part that is large enough (threats I3).</summary>
    /// <returns>Null, or a sentence that names the value and the rule.</returns>
    public string? FindError(int index, int size, RingFormat format)
    {
        if (index >= QueueCount || size > QueueSize)
        {
            return $"the inflight record is for {QueueCount} queues of at most 0x{QueueSize:x} descriptors, queue {index} has 0x{size:x}";
        }

        ulong neededBytes = BytesNeeded(format, QueueCount, QueueSize);
        return _sizeBytes < neededBytes ? $"the inflight record has 0x{_sizeBytes:x} bytes, {QueueCount} {format} queues of 0x{QueueSize:x} need 0x{neededBytes:x}" : null;
    }

    /// <summary>The word that the device, or the one before it, has stored last.</summary>
    /// <param name="format">Of the device's rings: it decides where the parts end.</param>
    /// <returns>0: nothing was stored, or there is no room for a word. Anything else may be somebody else's doing.</returns>
    public ulong ReadWord(RingFormat format) => HasWord(format) ? Volatile.Read(ref *FindWord(format)) : 0;

    /// <summary>Keeps a word for the device's successor, all of it or nothing wherever this process dies; without room for one it vanishes. One thread at a time.</summary>
    /// <param name="format">Of the device's rings.</param>
    /// <param name="word">0: nothing to keep.</param>
    public void WriteWord(RingFormat format, ulong word)
    {
        if (HasWord(format))
        {
            InflightStore.Write(ref *FindWord(format), word);
        }
    }

    /// <summary>Makes the record as good as new: a device reset has dropped the requests, and what the driver has chosen. No queue may be running.</summary>
    public void Forget()
    {
        foreach (RingFormat format in (ReadOnlySpan<RingFormat>)[RingFormat.Split, RingFormat.Packed])
        {
            for (int i = 0; i < QueueCount && (ulong)(i + 1) * PartBytes(format, QueueSize) <= _sizeBytes; i++)
            {
                new Span<byte>(Find(i, format), sizeof(InflightPackedHeader)).Clear(); // version 0; entries are cleared by the queue that begins there
            }

            WriteWord(format, 0);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _mapping.Dispose();

    /// <summary>The part of queue <paramref name="index"/>, which <see cref="FindError"/> has nothing against. 8-byte aligned.</summary>
    internal byte* Find(int index, RingFormat format) => _start + ((ulong)index * PartBytes(format, QueueSize));

    private bool HasWord(RingFormat format) => _sizeBytes >= BytesWithWord(format, QueueCount, QueueSize);

    // SAFETY: HasWord checked that it lies inside the mapping; 8-byte aligned, as the record and its parts are.
    private ulong* FindWord(RingFormat format) => (ulong*)(_start + BytesNeeded(format, QueueCount, QueueSize));
}
