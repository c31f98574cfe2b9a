namespace Paravane.Hypervisor.Kvm;

/// <summary>Ports, or memory that is no RAM: who answers at which address. What nobody claims reads as all ones; writes there have no effect.</summary>
/// <remarks>
/// Any thread. Accesses (vCPU threads) look up an immutable snapshot without a lock and allocate nothing. A device that was removed may still
/// be in the midst of an access that began before.
/// </remarks>
internal sealed class AddressBus : IMemoryWindows
{
    private readonly Lock _gate = new();
    private volatile BusRange[] _ranges = [];
    private long _unclaimedReads;
    private long _unclaimedWrites;

    /// <summary>What is claimed, ascending.</summary>
    public IReadOnlyList<BusRange> Ranges => _ranges;

    /// <summary>Reads, or parts of reads, that nobody answered.</summary>
    public long UnclaimedReads => Interlocked.Read(ref _unclaimedReads);

    /// <summary>Writes, or parts of writes, that nobody took.</summary>
    public long UnclaimedWrites => Interlocked.Read(ref _unclaimedWrites);

    /// <summary>Claims a range whose place the hypervisor chose.</summary>
    /// <param name="address">First address or port.</param>
    /// <param name="sizeBytes">At least 1.</param>
    /// <param name="device">Who answers.</param>
    /// <param name="name">For counters; need not be unique.</param>
    /// <exception cref="InvalidOperationException">It is empty, wraps, or overlaps another.</exception>
    public void Add(ulong address, ulong sizeBytes, IBusDevice device, string name)
    {
        if (!TryAdd(address, sizeBytes, device, name))
        {
            throw new InvalidOperationException($"{name}: 0x{sizeBytes:x} bytes at 0x{address:x} are nowhere, or overlap another device");
        }
    }

    /// <inheritdoc/>
    /// <remarks>For a place that the guest chose; an empty range and one that wraps are refused, too.</remarks>
    public bool TryAdd(ulong address, ulong sizeBytes, IBusDevice device, string name)
    {
        if (sizeBytes == 0 || sizeBytes - 1 > ulong.MaxValue - address)
        {
            return false;
        }

        lock (_gate)
        {
            BusRange[] ranges = _ranges;
            int at = CountUpTo(ranges, address);
            if ((at > 0 && address - ranges[at - 1].Address < ranges[at - 1].SizeBytes)
                || (at < ranges.Length && ranges[at].Address - address < sizeBytes))
            {
                return false;
            }

            _ranges = [.. ranges[..at], new BusRange(address, sizeBytes, device, name), .. ranges[at..]];
            return true;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">No range begins there.</exception>
    public void Remove(ulong address)
    {
        lock (_gate)
        {
            BusRange[] ranges = _ranges;
            int at = CountUpTo(ranges, address) - 1;
            if (at < 0 || ranges[at].Address != address)
            {
                throw new ArgumentException($"no device begins at 0x{address:x}", nameof(address));
            }

            _ranges = [.. ranges[..at], .. ranges[(at + 1)..]];
        }
    }

    /// <summary>Carries out a guest's read. One that lies in several ranges is cut at their ends.</summary>
    public void Read(ulong address, Span<byte> data)
    {
        BusRange[] ranges = _ranges;
        while (!data.IsEmpty)
        {
            BusRange? range = Find(ranges, address, data.Length, out int lengthBytes);
            Span<byte> piece = data[..lengthBytes];
            if (range is null)
            {
                Interlocked.Increment(ref _unclaimedReads);
                piece.Fill(0xFF);
            }
            else
            {
                range.Read(address, piece);
            }

            data = data[lengthBytes..];
            address = unchecked(address + (uint)lengthBytes);
        }
    }

    /// <summary>Carries out a guest's write. One that lies in several ranges is cut at their ends.</summary>
    public void Write(ulong address, ReadOnlySpan<byte> data)
    {
        BusRange[] ranges = _ranges;
        while (!data.IsEmpty)
        {
            BusRange? range = Find(ranges, address, data.Length, out int lengthBytes);
            if (range is null)
            {
                Interlocked.Increment(ref _unclaimedWrites);
            }
            else
            {
                range.Write(address, data[..lengthBytes]);
            }

            data = data[lengthBytes..];
            address = unchecked(address + (uint)lengthBytes);
        }
    }

    /// <summary>The range that has <paramref name="address"/>, and how far the access goes before another one (or none) is concerned.</summary>
    private static BusRange? Find(BusRange[] ranges, ulong address, int wantedBytes, out int lengthBytes)
    {
        int next = CountUpTo(ranges, address);
        if (next > 0)
        {
            BusRange range = ranges[next - 1];
            ulong offset = address - range.Address;
            if (offset < range.SizeBytes)
            {
                lengthBytes = (int)Math.Min((ulong)wantedBytes, range.SizeBytes - offset);
                return range;
            }
        }

        ulong free = next < ranges.Length ? ranges[next].Address - address : ulong.MaxValue;
        lengthBytes = (int)Math.Min((ulong)wantedBytes, free);
        return null;
    }

    /// <summary>Number of ranges that begin at or below <paramref name="address"/>.</summary>
    private static int CountUpTo(BusRange[] ranges, ulong address)
    {
        int low = 0, high = ranges.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (ranges[middle].Address <= address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
