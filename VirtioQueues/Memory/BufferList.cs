using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Paravane.VirtioQueues.Memory;

/// <summary>Checked pieces of guest memory that count as one run of bytes; how the driver cut it never matters.</summary>
/// <remarks>Worker thread only; valid as long as the chain it came from.</remarks>
public readonly unsafe ref struct BufferList
{
    private readonly GuestBuffer* _buffers;

    internal BufferList(GuestBuffer* buffers, int count, uint lengthBytes)
    {
        _buffers = buffers;
        Count = count;
        LengthBytes = lengthBytes;
    }

    /// <summary>Number of pieces; none is empty.</summary>
    public int Count { get; }

    /// <summary>Sum of all pieces in bytes.</summary>
    public uint LengthBytes { get; }

    /// <summary>The pieces, for the libraries' system calls.</summary>
    internal GuestBuffer* Buffers => _buffers;

    /// <summary>Piece <paramref name="index"/>.</summary>
    public GuestSlice this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count);
            return new GuestSlice(_buffers[index].Host, (uint)_buffers[index].LengthBytes);
        }
    }

    /// <summary>Snapshot of a wire struct at <paramref name="offset"/>, wherever the pieces are cut. Read once, used from the copy.</summary>
    /// <returns>False when it would reach over the end.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryRead<T>(uint offset, out T value)
        where T : unmanaged
    {
        if (Count != 0 && offset <= _buffers[0].LengthBytes && (nuint)sizeof(T) <= _buffers[0].LengthBytes - offset)
        {
            value = Unsafe.ReadUnaligned<T>(_buffers[0].Host + offset);
            return true;
        }

        Unsafe.SkipInit(out value);
        fixed (T* pointer = &value)
        {
            return CopyTo(offset, new Span<byte>(pointer, sizeof(T))) == sizeof(T);
        }
    }

    /// <summary>Writes a wire struct at <paramref name="offset"/>.</summary>
    /// <returns>False when it would reach over the end; nothing was written then.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryWrite<T>(uint offset, T value)
        where T : unmanaged
    {
        if (Count != 0 && offset <= _buffers[0].LengthBytes && (nuint)sizeof(T) <= _buffers[0].LengthBytes - offset)
        {
            Unsafe.WriteUnaligned(_buffers[0].Host + offset, value);
            return true;
        }

        return offset <= LengthBytes && (uint)sizeof(T) <= LengthBytes - offset && CopyFrom(offset, new ReadOnlySpan<byte>(&value, sizeof(T))) == sizeof(T);
    }

    /// <summary>Copies bytes from <paramref name="offset"/> on out, as many as there are and as fit.</summary>
    /// <returns>Bytes copied.</returns>
    public int CopyTo(uint offset, Span<byte> destination)
    {
        uint wanted = offset >= LengthBytes ? 0 : Math.Min((uint)destination.Length, LengthBytes - offset);
        if (wanted == 0)
        {
            return 0;
        }

        fixed (byte* pointer = destination)
        {
            var local = new GuestBuffer { Host = pointer, LengthBytes = wanted };
            Copy(this, offset, new BufferList(&local, 1, wanted), 0, wanted);
        }

        return (int)wanted;
    }

    /// <summary>Copies bytes in from <paramref name="offset"/> on, as many as there are and as fit.</summary>
    /// <returns>Bytes copied.</returns>
    public int CopyFrom(uint offset, ReadOnlySpan<byte> source)
    {
        uint wanted = offset >= LengthBytes ? 0 : Math.Min((uint)source.Length, LengthBytes - offset);
        if (wanted == 0)
        {
            return 0;
        }

        fixed (byte* pointer = source)
        {
            var local = new GuestBuffer { Host = pointer, LengthBytes = wanted };
            Copy(new BufferList(&local, 1, wanted), 0, this, offset, wanted);
        }

        return (int)wanted;
    }

    /// <summary>Writes zeroes to <paramref name="lengthBytes"/> bytes from <paramref name="offset"/> on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside.</exception>
    public void Clear(uint offset, uint lengthBytes)
    {
        if (!Holds(offset, lengthBytes))
        {
            ThrowRange();
        }

        GuestBuffer* piece = Seek(_buffers, ref offset);
        while (lengthBytes != 0)
        {
            uint now = Math.Min(lengthBytes, (uint)piece->LengthBytes - offset);
            NativeMemory.Clear(piece->Host + offset, now);
            lengthBytes -= now;
            offset = 0;
            piece++;
        }
    }

    /// <summary>Writes the very last byte: where a block device puts its status (virtio 1.2 §5.2.6).</summary>
    /// <exception cref="ArgumentOutOfRangeException">The list is empty.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void WriteLast(byte value)
    {
        if (Count == 0)
        {
            ThrowRange();
        }

        GuestBuffer* last = _buffers + (Count - 1);
        last->Host[last->LengthBytes - 1] = value;
    }

    /// <summary>Brings the line of the last byte closer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void PrefetchLast()
    {
        if (Sse.IsSupported && Count != 0)
        {
            GuestBuffer* last = _buffers + (Count - 1);
            Sse.Prefetch0(last->Host + last->LengthBytes - 1);
        }
    }

    /// <summary>Brings the first two cache lines of the data at <paramref name="offset"/> closer. No effect on what is read or written.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Prefetch(uint offset = 0)
    {
        if (Sse.IsSupported && Count != 0)
        {
            Sse.Prefetch0(_buffers[0].Host + Math.Min(offset, (uint)_buffers[0].LengthBytes));
        }
    }

    /// <summary>How much from <paramref name="offset"/> on direct I/O can take as it lies.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="lengthBytes">Length wanted; offset and length are inside the list.</param>
    /// <param name="addressAlignment">Power of two that addresses must be multiples of.</param>
    /// <param name="lengthAlignment">Power of two that lengths of pieces must be multiples of.</param>
    /// <returns>Bytes, a multiple of <paramref name="lengthAlignment"/>; 0 when the first piece is misaligned.</returns>
    public uint AlignedRun(uint offset, uint lengthBytes, uint addressAlignment, uint lengthAlignment)
    {
        if (!Holds(offset, lengthBytes))
        {
            ThrowRange();
        }

        GuestBuffer* piece = Seek(_buffers, ref offset);
        uint run = 0;
        while (run < lengthBytes && ((nuint)(piece->Host + offset) & (addressAlignment - 1)) == 0)
        {
            uint now = Math.Min(lengthBytes - run, (uint)piece->LengthBytes - offset);
            run += now & ~(lengthAlignment - 1);
            if ((now & (lengthAlignment - 1)) != 0)
            {
                break;
            }

            offset = 0;
            piece++;
        }

        return run;
    }

    /// <summary>How much from <paramref name="offset"/> on must go through a bounce buffer until <see cref="AlignedRun"/> is not 0 again.</summary>
    /// <returns>Bytes, a multiple of <paramref name="lengthAlignment"/> (or all of <paramref name="lengthBytes"/>), at least one unit.</returns>
    public uint MisalignedRun(uint offset, uint lengthBytes, uint addressAlignment, uint lengthAlignment)
    {
        uint run = Math.Min(lengthAlignment, lengthBytes);
        while (run < lengthBytes && AlignedRun(offset + run, Math.Min(lengthAlignment, lengthBytes - run), addressAlignment, lengthAlignment) == 0)
        {
            run = Math.Min(run + lengthAlignment, lengthBytes);
        }

        return run;
    }

    /// <summary>Fills an array of pieces with a range of the list, which must be inside, for a vectored system call.</summary>
    /// <returns>Pieces stored. They cover less than the range when <paramref name="max"/> is too small.</returns>
    internal int Slice(uint offset, uint lengthBytes, GuestBuffer* pieces, int max)
    {
        if (!Holds(offset, lengthBytes))
        {
            ThrowRange();
        }

        GuestBuffer* piece = Seek(_buffers, ref offset);
        int count = 0;
        while (lengthBytes != 0 && count < max)
        {
            uint now = Math.Min(lengthBytes, (uint)piece->LengthBytes - offset);
            pieces[count].Host = piece->Host + offset;
            pieces[count++].LengthBytes = now;
            lengthBytes -= now;
            offset = 0;
            piece++;
        }

        return count;
    }

    /// <summary>Copies <paramref name="lengthBytes"/> bytes between two lists, however each is cut.</summary>
    /// <exception cref="ArgumentOutOfRangeException">One of the ranges is not inside its list; nothing was copied.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(BufferList from, uint fromOffset, BufferList to, uint toOffset, uint lengthBytes)
    {
        if (!from.Holds(fromOffset, lengthBytes) || !to.Holds(toOffset, lengthBytes))
        {
            ThrowRange();
        }

        if (lengthBytes == 0)
        {
            return; // an empty list has no first piece
        }

        if (fromOffset < from._buffers[0].LengthBytes && lengthBytes <= from._buffers[0].LengthBytes - fromOffset
            && toOffset < to._buffers[0].LengthBytes && lengthBytes <= to._buffers[0].LengthBytes - toOffset)
        {
            ShortCopy.Copy(to._buffers[0].Host + toOffset, from._buffers[0].Host + fromOffset, lengthBytes);
            return;
        }

        CopyPieces(from._buffers, fromOffset, to._buffers, toOffset, lengthBytes);
    }

    private static void CopyPieces(GuestBuffer* from, uint fromOffset, GuestBuffer* to, uint toOffset, uint lengthBytes)
    {
        from = Seek(from, ref fromOffset);
        to = Seek(to, ref toOffset);
        while (true)
        {
            uint now = Math.Min(lengthBytes, Math.Min((uint)from->LengthBytes - fromOffset, (uint)to->LengthBytes - toOffset));
            ShortCopy.Copy(to->Host + toOffset, from->Host + fromOffset, now);
            lengthBytes -= now;
            if (lengthBytes == 0)
            {
                return;
            }

            fromOffset += now;
            toOffset += now;
            if (fromOffset == from->LengthBytes)
            {
                from++;
                fromOffset = 0;
            }

            if (toOffset == to->LengthBytes)
            {
                to++;
                toOffset = 0;
            }
        }
    }

    private static GuestBuffer* Seek(GuestBuffer* piece, ref uint offset)
    {
        while (offset != 0 && offset >= piece->LengthBytes)
        {
            offset -= (uint)piece->LengthBytes;
            piece++;
        }

        return piece;
    }

    [DoesNotReturn]
    private static void ThrowRange() => throw new ArgumentOutOfRangeException(null, "the range is not inside the buffers");

    private bool Holds(uint offset, uint lengthBytes) => offset <= LengthBytes && lengthBytes <= LengthBytes - offset;
}
