namespace Paravane.VirtioQueues.Memory;

/// <summary>An immutable table of guest memory. Translating is validating. A change makes a new table; each holder lets its old one go.</summary>
/// <remarks>
/// Any thread. Born with one reference, which belongs to its maker. Whoever stores a table calls <see cref="Acquire"/>; when the last
/// <see cref="Release"/> has come, regions that no other table contains are unmapped.
/// </remarks>
public sealed unsafe class GuestMemory
{
    /// <summary>Regions that one table may have: what GET_MAX_MEM_SLOTS promises.</summary>
    public const int MaxRegions = 509;

    private readonly GuestRegion[] _regions;
    private int _references = 1;

    private GuestMemory(GuestRegion[] regions)
    {
        _regions = regions;
        foreach (GuestRegion region in regions)
        {
            region.Mapping.Acquire();
        }
    }

    /// <summary>A table without regions.</summary>
    public static GuestMemory Empty() => new([]);

    /// <summary>The regions, sorted by guest address.</summary>
    public ReadOnlySpan<GuestRegion> Regions => _regions;

    /// <summary>Makes a table of <paramref name="regions"/>, in any order.</summary>
    /// <exception cref="GuestMemoryException">Two regions overlap, or there are more than <see cref="MaxRegions"/> (threats A1).</exception>
    public static GuestMemory Of(IEnumerable<GuestRegion> regions)
    {
        GuestRegion[] sorted = [.. regions.OrderBy(region => region.Guest.Value)];
        if (sorted.Length > MaxRegions)
        {
            throw new GuestMemoryException($"{sorted.Length} regions: at most {MaxRegions} fit");
        }

        for (int i = 0; i < sorted.Length; i++)
        {
            for (int j = i + 1; j < sorted.Length; j++)
            {
                if (sorted[i].Overlaps(sorted[j]))
                {
                    throw new GuestMemoryException(
                        $"regions overlap: {sorted[i].Guest} (user {sorted[i].User}, size 0x{sorted[i].SizeBytes:x}) and "
                        + $"{sorted[j].Guest} (user {sorted[j].User}, size 0x{sorted[j].SizeBytes:x})");
                }
            }
        }

        return new GuestMemory(sorted);
    }

    /// <summary>True when every region of <paramref name="other"/> is also in this table, so that pointers into it stay good.</summary>
    public bool Contains(GuestMemory other)
    {
        ArgumentNullException.ThrowIfNull(other);
        foreach (GuestRegion region in other._regions)
        {
            if (Array.IndexOf(_regions, region) < 0)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Adds a holder.</summary>
    public GuestMemory Acquire()
    {
        Interlocked.Increment(ref _references);
        return this;
    }

    /// <summary>Removes a holder; the last one unmaps what no other table contains.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0)
        {
            foreach (GuestRegion region in _regions)
            {
                region.Mapping.Release();
            }
        }
    }

    /// <summary>Translates a range that must lie inside one region (ring parts, single fields).</summary>
    /// <returns>False when any byte is outside, or the range crosses a region's end.</returns>
    public bool TryTranslate(GuestAddress address, uint lengthBytes, out GuestSlice slice)
    {
        byte* host = Find(address, lengthBytes);
        slice = host == null ? default : new GuestSlice(host, lengthBytes);
        return host != null;
    }

    /// <summary>Looks a front-end address up.</summary>
    /// <returns>False when <paramref name="lengthBytes"/> from <paramref name="address"/> on do not lie inside one region.</returns>
    public bool TryFind(UserAddress address, ulong lengthBytes, out GuestAddress guest)
    {
        foreach (GuestRegion region in _regions)
        {
            ulong offset = address.Value - region.User.Value; // below the region wraps to a huge value and fails the next test
            if (offset < region.SizeBytes && lengthBytes <= region.SizeBytes - offset)
            {
                guest = new GuestAddress(region.Guest.Value + offset);
                return true;
            }
        }

        guest = default;
        return false;
    }

    /// <summary>Copies bytes out, across regions that are neighbours in the guest.</summary>
    /// <returns>False when any byte is outside; nothing is promised about <paramref name="destination"/> then.</returns>
    public bool TryRead(GuestAddress address, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            uint piece = TranslateHead(address.Value, (uint)destination.Length, out byte* host);
            if (piece == 0)
            {
                return false;
            }

            new ReadOnlySpan<byte>(host, (int)piece).CopyTo(destination);
            destination = destination[(int)piece..];
            if (!destination.IsEmpty && address.Value > ulong.MaxValue - piece)
            {
                return false;
            }

            address = new GuestAddress(unchecked(address.Value + piece));
        }

        return true;
    }

    /// <summary>Copies bytes in, across regions that are neighbours in the guest.</summary>
    /// <returns>False when any byte is outside; bytes before it may have been written.</returns>
    public bool TryWrite(GuestAddress address, ReadOnlySpan<byte> source)
    {
        while (!source.IsEmpty)
        {
            uint piece = TranslateHead(address.Value, (uint)source.Length, out byte* host);
            if (piece == 0)
            {
                return false;
            }

            source[..(int)piece].CopyTo(new Span<byte>(host, (int)piece));
            source = source[(int)piece..];
            if (!source.IsEmpty && address.Value > ulong.MaxValue - piece)
            {
                return false;
            }

            address = new GuestAddress(unchecked(address.Value + piece));
        }

        return true;
    }

    /// <summary>Pointer to a range inside one region, or null.</summary>
    internal byte* Find(GuestAddress address, ulong lengthBytes)
    {
        foreach (GuestRegion region in _regions)
        {
            ulong offset = address.Value - region.Guest.Value;
            if (offset < region.SizeBytes && lengthBytes <= region.SizeBytes - offset)
            {
                return region.Host + offset;
            }
        }

        return null;
    }

    /// <summary>Translates the part of a range that lies in the region of its first byte.</summary>
    /// <returns>Length of that part in bytes; 0 when the first byte is outside.</returns>
    internal uint TranslateHead(ulong address, uint lengthBytes, out byte* host)
    {
        GuestRegion? region = RegionOf(address);
        if (region is null)
        {
            host = null;
            return 0;
        }

        ulong offset = address - region.Guest.Value;
        host = region.Host + offset;
        return (uint)Math.Min(lengthBytes, region.SizeBytes - offset);
    }

    /// <summary>The region that contains <paramref name="address"/>, or null. Binary search.</summary>
    internal GuestRegion? RegionOf(ulong address)
    {
        int low = 0, high = _regions.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            GuestRegion region = _regions[middle];
            if (address < region.Guest.Value)
            {
                high = middle - 1;
            }
            else if (address - region.Guest.Value < region.SizeBytes)
            {
                return region;
            }
            else
            {
                low = middle + 1;
            }
        }

        return null;
    }

    /// <summary>The guest address of a pointer into this table, for the dirty log.</summary>
    internal bool TryFindHost(byte* host, out GuestAddress guest)
    {
        foreach (GuestRegion region in _regions)
        {
            if ((nuint)host - (nuint)region.Host < region.SizeBytes)
            {
                guest = new GuestAddress(region.Guest.Value + (ulong)(host - region.Host));
                return true;
            }
        }

        guest = default;
        return false;
    }

    /// <summary>True when <paramref name="host"/> points into a region of this table that <paramref name="next"/> lacks.</summary>
    internal bool LeavesWith(GuestMemory next, byte* host)
    {
        foreach (GuestRegion region in _regions)
        {
            if ((nuint)host - (nuint)region.Host < region.SizeBytes)
            {
                return Array.IndexOf(next._regions, region) < 0;
            }
        }

        return true;
    }
}
