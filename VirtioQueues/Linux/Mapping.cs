using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>A range of mapped memory, unmapped when disposed.</summary>
public sealed unsafe class Mapping : SafeHandle
{
    private const int HugePage = 14, PopulateWrite = 23; // MADV_HUGEPAGE, MADV_POPULATE_WRITE (Linux 5.14)

    private Mapping(void* address, nuint lengthBytes)
        : base(-1, ownsHandle: true)
    {
        SetHandle((nint)address);
        LengthBytes = lengthBytes;
    }

    /// <summary>Length in bytes as it was mapped.</summary>
    public nuint LengthBytes { get; }

    /// <summary>First byte. Valid while this object is neither disposed nor collected.</summary>
    public byte* Address => (byte*)handle;

    /// <inheritdoc/>
    public override bool IsInvalid => handle == -1;

    /// <summary>Maps <paramref name="lengthBytes"/> of <paramref name="file"/>, shared, readable and (by default) writable.</summary>
    /// <param name="file">What to map. May be closed afterwards.</param>
    /// <param name="offset">Offset into the file in bytes, a multiple of the page size.</param>
    /// <param name="lengthBytes">Length in bytes, not 0.</param>
    /// <param name="writable">False maps read-only.</param>
    /// <param name="populate">True pre-faults every page.</param>
    /// <param name="alignment">The address is a multiple of it; a power of two, at most the page size for no wish.</param>
    /// <param name="reserve">True fails when the kernel cannot set that much aside now: a huge page that is lacking later is a SIGBUS.</param>
    /// <exception cref="LinuxException">mmap refused.</exception>
    public static Mapping OfFile(
        FileDescriptor file, ulong offset, nuint lengthBytes, bool writable = true, bool populate = false, nuint alignment = 0, bool reserve = false)
    {
        ArgumentNullException.ThrowIfNull(file);
        int protection = LibC.PROT_READ | (writable ? LibC.PROT_WRITE : 0);
        int flags = LibC.MAP_SHARED | (reserve ? 0 : LibC.MAP_NORESERVE) | (populate ? LibC.MAP_POPULATE : 0);
        if (alignment <= (nuint)Environment.SystemPageSize)
        {
            return Map(protection, flags, file.Number, offset, lengthBytes);
        }

        // Room with slack first: the file then takes the aligned part of what nobody else can take in between.
        Mapping room = Map(LibC.PROT_NONE, LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS | LibC.MAP_NORESERVE, -1, 0, checked(lengthBytes + alignment));
        byte* start = (byte*)(((nuint)room.Address + alignment - 1) & ~(alignment - 1));
        Mapping mapping;
        try
        {
            mapping = Map(protection, flags | LibC.MAP_FIXED, file.Number, offset, lengthBytes, start);
        }
        catch
        {
            room.Dispose();
            throw;
        }

        nuint head = (nuint)(start - room.Address), tail = alignment - head;
        _ = head == 0 ? 0 : LibC.munmap(room.Address, (size_t)(ulong)head);
        _ = tail == 0 ? 0 : LibC.munmap(start + lengthBytes, (size_t)(ulong)tail);
        room.SetHandleAsInvalid(); // what is left of the room is the mapping
        return mapping;
    }

    /// <summary>Private zeroed memory outside the garbage-collected heap, given by the kernel page by page when touched.</summary>
    /// <exception cref="LinuxException">No address space is left.</exception>
    public static Mapping Anonymous(nuint lengthBytes) =>
        Map(LibC.PROT_READ | LibC.PROT_WRITE, LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS | LibC.MAP_NORESERVE, -1, 0, lengthBytes);

    /// <summary>Keeps the range out of core dumps (threats A8). Best effort.</summary>
    public void ExcludeFromCoreDumps() => _ = LibC.madvise((void*)handle, (size_t)(ulong)LengthBytes, LibC.MADV_DONTDUMP);

    /// <summary>Asks for transparent huge pages. Best effort.</summary>
    public void PreferHugePages() => _ = LibC.madvise((void*)handle, (size_t)(ulong)LengthBytes, HugePage);

    /// <summary>Makes a range present and writable, so that no later access waits for the kernel.</summary>
    /// <exception cref="LinuxException">There is not enough memory, or not enough huge pages.</exception>
    public void Prefault(nuint offsetBytes, nuint lengthBytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offsetBytes, LengthBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(lengthBytes, LengthBytes - offsetBytes);
        while (Native.MemoryAdvise(Address + offsetBytes, lengthBytes, PopulateWrite) != 0)
        {
            int errno = Errno.Last;
            if (errno != Errno.EINTR && errno != Errno.EAGAIN)
            {
                throw new LinuxException(errno, "madvise(MADV_POPULATE_WRITE)");
            }
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => LibC.munmap((void*)handle, (size_t)(ulong)LengthBytes) == 0;

    private static Mapping Map(int protection, int flags, int fd, ulong offset, nuint lengthBytes, void* at = null)
    {
        void* address = LibC.mmap(at, (size_t)(ulong)lengthBytes, protection, flags, fd, (long)offset);
        if (address == LibC.MAP_FAILED)
        {
            throw new LinuxException(Errno.Last, "mmap");
        }

        return new Mapping(address, lengthBytes);
    }
}
