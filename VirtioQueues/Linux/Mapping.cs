using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>A range of mapped memory, unmapped when disposed.</summary>
public sealed unsafe class Mapping : SafeHandle
{
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
    /// <exception cref="LinuxException">mmap refused.</exception>
    public static Mapping OfFile(FileDescriptor file, ulong offset, nuint lengthBytes, bool writable = true, bool populate = false)
    {
        ArgumentNullException.ThrowIfNull(file);
        int protection = LibC.PROT_READ | (writable ? LibC.PROT_WRITE : 0);
        int flags = LibC.MAP_SHARED | LibC.MAP_NORESERVE | (populate ? LibC.MAP_POPULATE : 0);
        return Map(protection, flags, file.Number, offset, lengthBytes);
    }

    /// <summary>Private zeroed memory outside the garbage-collected heap, given by the kernel page by page when touched.</summary>
    /// <exception cref="LinuxException">No address space is left.</exception>
    public static Mapping Anonymous(nuint lengthBytes) =>
        Map(LibC.PROT_READ | LibC.PROT_WRITE, LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS | LibC.MAP_NORESERVE, -1, 0, lengthBytes);

    /// <summary>Keeps the range out of core dumps (threats A8). Best effort.</summary>
    public void ExcludeFromCoreDumps() => _ = LibC.madvise((void*)handle, (size_t)(ulong)LengthBytes, LibC.MADV_DONTDUMP);

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => LibC.munmap((void*)handle, (size_t)(ulong)LengthBytes) == 0;

    private static Mapping Map(int protection, int flags, int fd, ulong offset, nuint lengthBytes)
    {
        void* address = LibC.mmap(null, (size_t)(ulong)lengthBytes, protection, flags, fd, (long)offset);
        if (address == LibC.MAP_FAILED)
        {
            throw new LinuxException(Errno.Last, "mmap");
        }

        return new Mapping(address, lengthBytes);
    }
}
