using Paravane.VirtioQueues.Linux;

namespace Paravane.VirtioQueues.Memory;

/// <summary>One contiguous range of guest memory and where it is mapped here. Checked when made: not empty, nothing wraps, the file is long enough.</summary>
public sealed unsafe class GuestRegion
{
    private const ulong DefaultAlignment = 4096;

    private GuestRegion(GuestAddress guest, UserAddress user, ulong sizeBytes, RegionMapping mapping, byte* host)
    {
        Guest = guest;
        User = user;
        SizeBytes = sizeBytes;
        Mapping = mapping;
        Host = host;
    }

    /// <summary>First guest address.</summary>
    public GuestAddress Guest { get; }

    /// <summary>The front-end's address of the same byte.</summary>
    public UserAddress User { get; }

    /// <summary>Size in bytes, not 0. <c>Guest + SizeBytes</c> and <c>User + SizeBytes</c> do not wrap.</summary>
    public ulong SizeBytes { get; }

    internal RegionMapping Mapping { get; }

    internal byte* Host { get; }

    /// <summary>Maps a region of a shared file. The file may be closed afterwards.</summary>
    /// <param name="guest">First guest address.</param>
    /// <param name="user">The front-end's label of the same byte.</param>
    /// <param name="sizeBytes">Size in bytes.</param>
    /// <param name="file">A regular file, memfd or huge page file.</param>
    /// <param name="fileOffset">Offset of the region in the file in bytes; need not be page-aligned.</param>
    /// <param name="populate">Pre-fault every page.</param>
    /// <param name="hostAlignment">For who maps memory first: the mapping starts at a multiple of it (a power of two; 0 for no wish).</param>
    /// <param name="reserve">For who maps memory first: fail now when there are not enough huge pages.</param>
    /// <exception cref="GuestMemoryException">The size is 0, a sum wraps, or the file is too short or cannot be mapped (threats A1, A2).</exception>
    public static GuestRegion Map(
        GuestAddress guest, UserAddress user, ulong sizeBytes, FileDescriptor file, ulong fileOffset, bool populate = false,
        ulong hostAlignment = 0, bool reserve = false)
    {
        ArgumentNullException.ThrowIfNull(file);
        if (sizeBytes == 0)
        {
            throw new GuestMemoryException($"region at {guest}: size is 0");
        }

        if (sizeBytes - 1 > ulong.MaxValue - guest.Value || sizeBytes - 1 > ulong.MaxValue - user.Value)
        {
            throw new GuestMemoryException($"region at {guest} (user {user}): size 0x{sizeBytes:x} wraps the address space");
        }

        FileStatus status = FileStatus.Of(file);
        if (!status.IsRegular)
        {
            throw new GuestMemoryException($"region at {guest}: the descriptor is not a mappable file (mode 0x{status.Mode:x})");
        }

        if (fileOffset > status.SizeBytes || sizeBytes > status.SizeBytes - fileOffset)
        {
            throw new GuestMemoryException(
                $"region at {guest}: offset 0x{fileOffset:x} plus size 0x{sizeBytes:x} is over the end of its file (0x{status.SizeBytes:x})");
        }

        // Huge page files map only at multiples of their page size, which is their block size.
        ulong alignment = Math.Max(DefaultAlignment, status.IsHugePage ? status.BlockSizeBytes : 0);
        ulong start = fileOffset & ~(alignment - 1);
        ulong lengthBytes = checked((fileOffset - start + sizeBytes + alignment - 1) & ~(alignment - 1));
        try
        {
            Mapping mapping = Linux.Mapping.OfFile(
                file, start, checked((nuint)lengthBytes), populate: populate, alignment: checked((nuint)hostAlignment), reserve: reserve);
            mapping.ExcludeFromCoreDumps();
            return new GuestRegion(guest, user, sizeBytes, new RegionMapping(mapping), mapping.Address + (fileOffset - start));
        }
        catch (LinuxException failure)
        {
            throw new GuestMemoryException($"region at {guest}: {failure.Message}", failure);
        }
    }

    /// <summary>True when the two share a guest address or a user address.</summary>
    public bool Overlaps(GuestRegion other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return Intersects(Guest.Value, SizeBytes, other.Guest.Value, other.SizeBytes) || Intersects(User.Value, SizeBytes, other.User.Value, other.SizeBytes);
    }

    /// <summary>Asks for transparent huge pages. Best effort.</summary>
    public void PreferHugePages() => Mapping.Mapping.PreferHugePages();

    /// <summary>Makes a range of the region present, so that no later access waits for the kernel. Several threads may do parts of it.</summary>
    /// <param name="offsetBytes">From the start of a region whose file offset is a multiple of the page size; itself a multiple of it.</param>
    /// <param name="lengthBytes">Length in bytes.</param>
    /// <exception cref="LinuxException">There is not enough memory, or the kernel is older than 5.14.</exception>
    public void Prefault(ulong offsetBytes, ulong lengthBytes) => Mapping.Mapping.Prefault(checked((nuint)offsetBytes), checked((nuint)lengthBytes));

    /// <summary>Unmaps a region that never went into a table.</summary>
    public void Discard()
    {
        Mapping.Acquire();
        Mapping.Release();
    }

    private static bool Intersects(ulong a, ulong sizeA, ulong b, ulong sizeB) => a < b ? b - a < sizeA : a - b < sizeB;
}
