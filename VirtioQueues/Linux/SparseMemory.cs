using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Linux;

/// <summary>A large range of private zeroed memory that costs only the pages written: the medium of a RAM disk.</summary>
/// <remarks>Any thread. Concurrent transfers of one range mix, as they may on a disk.</remarks>
public sealed unsafe class SparseMemory : IDisposable
{
    private const ulong PageBytes = 4096;
    private const int DontNeed = 4; // MADV_DONTNEED

    private readonly Mapping _mapping;

    /// <summary>Reserves <paramref name="lengthBytes"/> bytes of address space.</summary>
    /// <exception cref="LinuxException">There is not that much.</exception>
    public SparseMemory(ulong lengthBytes)
    {
        LengthBytes = lengthBytes;
        _mapping = Mapping.Anonymous(checked((nuint)lengthBytes));
        _mapping.ExcludeFromCoreDumps();
    }

    /// <summary>Length in bytes.</summary>
    public ulong LengthBytes { get; }

    /// <summary>Copies bytes from <paramref name="position"/> on into <paramref name="target"/>.</summary>
    public void Read(ulong position, BufferList target, uint offset, uint lengthBytes)
    {
        CheckRange(position, lengthBytes);
        var here = new GuestBuffer { Host = _mapping.Address + position, LengthBytes = lengthBytes };
        BufferList.Copy(new BufferList(&here, 1, lengthBytes), 0, target, offset, lengthBytes);
    }

    /// <summary>Copies bytes out of <paramref name="source"/> to <paramref name="position"/>.</summary>
    public void Write(ulong position, BufferList source, uint offset, uint lengthBytes)
    {
        CheckRange(position, lengthBytes);
        var here = new GuestBuffer { Host = _mapping.Address + position, LengthBytes = lengthBytes };
        BufferList.Copy(source, offset, new BufferList(&here, 1, lengthBytes), 0, lengthBytes);
    }

    /// <summary>Writes zeroes, keeping the pages.</summary>
    public void Clear(ulong position, ulong lengthBytes)
    {
        CheckRange(position, lengthBytes);
        ClearBytes(position, lengthBytes);
    }

    /// <summary>Makes a range read as zeroes and gives its whole pages back to the kernel.</summary>
    public void Punch(ulong position, ulong lengthBytes)
    {
        CheckRange(position, lengthBytes);
        ulong first = (position + PageBytes - 1) & ~(PageBytes - 1);
        ulong end = (position + lengthBytes) & ~(PageBytes - 1);
        if (first >= end || Native.MemoryAdvise(_mapping.Address + first, (nuint)(end - first), DontNeed) != 0)
        {
            ClearBytes(position, lengthBytes);
            return;
        }

        ClearBytes(position, first - position);
        ClearBytes(end, position + lengthBytes - end);
    }

    /// <inheritdoc/>
    public void Dispose() => _mapping.Dispose();

    private void ClearBytes(ulong position, ulong lengthBytes) =>
        System.Runtime.InteropServices.NativeMemory.Clear(_mapping.Address + position, (nuint)lengthBytes);

    private void CheckRange(ulong position, ulong lengthBytes)
    {
        if (position > LengthBytes || lengthBytes > LengthBytes - position)
        {
            throw new ArgumentOutOfRangeException(nameof(position), position, "range outside the memory");
        }
    }
}
