using Paravane.VirtioQueues.Linux;

namespace Paravane.VirtioQueues.Memory;

/// <summary>The bitmap of pages that the device wrote, one bit for each 4096 bytes of guest address space (vhost-user: SET_LOG_BASE).</summary>
/// <remarks>Any thread: bits are set by atomic OR, since the front-end and other workers change the same words.</remarks>
public sealed unsafe class DirtyLog : IDisposable
{
    /// <summary>Bytes of guest memory that one bit stands for.</summary>
    public const ulong PageBytes = 4096;

    private readonly Mapping _mapping;
    private readonly byte* _bits;

    private DirtyLog(Mapping mapping, byte* bits, ulong sizeBytes)
    {
        _mapping = mapping;
        _bits = bits;
        SizeBytes = sizeBytes;
    }

    /// <summary>Size of the bitmap in bytes.</summary>
    public ulong SizeBytes { get; }

    /// <summary>Maps the front-end's bitmap.</summary>
    /// <exception cref="GuestMemoryException">Size and offset overflow or reach over the end of the file (threats M17).</exception>
    public static DirtyLog Map(FileDescriptor file, ulong offsetBytes, ulong sizeBytes)
    {
        FileStatus status = FileStatus.Of(file);
        if (sizeBytes == 0 || !status.IsRegular || offsetBytes > status.SizeBytes || sizeBytes > status.SizeBytes - offsetBytes)
        {
            throw new GuestMemoryException($"dirty log of 0x{sizeBytes:x} bytes at offset 0x{offsetBytes:x} is not inside its file (0x{status.SizeBytes:x} bytes)");
        }

        ulong alignment = Math.Max(4096, status.IsHugePage ? status.BlockSizeBytes : 0);
        ulong start = offsetBytes & ~(alignment - 1);
        ulong lengthBytes = (offsetBytes - start + sizeBytes + alignment - 1) & ~(alignment - 1);
        try
        {
            Mapping mapping = Mapping.OfFile(file, start, checked((nuint)lengthBytes));
            return new DirtyLog(mapping, mapping.Address + (offsetBytes - start), sizeBytes);
        }
        catch (LinuxException failure)
        {
            throw new GuestMemoryException($"dirty log: {failure.Message}", failure);
        }
    }

    /// <summary>A private bitmap that covers <paramref name="memory"/>, for the time between LOG_ALL and SET_LOG_BASE.</summary>
    public static DirtyLog Private(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ulong end = memory.Regions.IsEmpty ? 1 : memory.Regions[^1].Guest.Value + memory.Regions[^1].SizeBytes - 1;
        ulong sizeBytes = ((end / PageBytes / 8) + 8) & ~7UL;
        Mapping mapping = Mapping.Anonymous(checked((nuint)sizeBytes));
        return new DirtyLog(mapping, mapping.Address, sizeBytes);
    }

    /// <summary>Marks the pages of a range as written.</summary>
    /// <returns>False when the log is too small for one of them, or the range wraps; pages before it are marked.</returns>
    public bool TryMark(GuestAddress address, ulong lengthBytes)
    {
        if (lengthBytes == 0)
        {
            return true;
        }

        if (lengthBytes - 1 > ulong.MaxValue - address.Value)
        {
            return false;
        }

        ulong last = (address.Value + lengthBytes - 1) / PageBytes;
        for (ulong page = address.Value / PageBytes; page <= last; page++)
        {
            if (page / 8 >= SizeBytes)
            {
                return false;
            }

            // SAFETY: the mapping begins and ends at page borders, so the aligned word around a byte of the log lies inside it.
            byte* cell = _bits + (page / 8);
            uint* word = (uint*)((nuint)cell & ~(nuint)3);
            uint bit = 1u << (int)((((nuint)cell & 3) * 8) + (nuint)(page % 8));

            // Setting a bit that is set already would only steal the line from the front-end.
            if ((Volatile.Read(ref *word) & bit) == 0)
            {
                Interlocked.Or(ref *word, bit);
            }
        }

        return true;
    }

    /// <summary>Marks in <paramref name="target"/> all that is marked here.</summary>
    /// <returns>False when a marked page does not fit.</returns>
    public bool TryMergeInto(DirtyLog target)
    {
        ArgumentNullException.ThrowIfNull(target);
        bool complete = true;
        for (ulong i = 0; i < SizeBytes; i++)
        {
            byte bits = Volatile.Read(ref _bits[i]);
            for (int bit = 0; bits != 0; bit++, bits >>= 1)
            {
                if ((bits & 1) != 0)
                {
                    complete &= target.TryMark(new GuestAddress(((i * 8) + (ulong)bit) * PageBytes), 1);
                }
            }
        }

        return complete;
    }

    /// <inheritdoc/>
    public void Dispose() => _mapping.Dispose();
}
