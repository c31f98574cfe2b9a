using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Memory;

/// <summary>RAM of a virtual machine: sealed shared memory below and above the hole for devices, which back-ends map too, and what is added later.</summary>
/// <remarks>
/// Any thread. Ranges are never unmapped, so addresses that were good stay good until the memory is disposed. Tables that were replaced
/// live as long: who reads <see cref="Table"/> may use it without holding it, and sees ranges added later by reading it again.
/// </remarks>
internal sealed unsafe class MachineMemory : IDisposable
{
    /// <summary>Unit of sizes and alignment: the processor's large page. Guest and host pages lie alike in it, or large pages would be lost.</summary>
    public const ulong Granule = 2UL << 20;

    /// <summary>Unit of what is added later: Linux takes memory into use in blocks of this size.</summary>
    public const ulong AddGranule = 128UL << 20;

    /// <summary>What fits in all: below the hole, and from 4 GiB up to the devices' 64-bit window.</summary>
    public const ulong MaxSizeBytes = AddressMap.LowMemoryEnd + (AddressMap.Pci64 - AddressMap.FourGiB);

    /// <summary>
    /// Back-ends are told ring addresses by labels which are no address of this process and no guest address: one that forgets to translate fails
    /// at once. A label is the guest address plus this.
    /// </summary>
    public const ulong UserBase = 1UL << 52;

    /// <summary>What one thread makes present at a time.</summary>
    private const ulong PrefaultBytes = 64UL << 20;

    private readonly Lock _gate = new();
    private readonly bool _hugePages;
    private readonly bool _prefault;
    private readonly List<MemFd> _files = [];
    private readonly List<GuestMemory> _retired = [];
    private (GuestMemory Table, MemoryBank Bank, GuestRamRegion Region)? _spare; // added and taken back
    private volatile MemoryBank[] _banks = [];
    private volatile GuestRamRegion[] _regions = [];
    private volatile GuestMemory _table = GuestMemory.Empty();

    private MachineMemory(bool hugePages, bool prefault)
    {
        _hugePages = hugePages;
        _prefault = prefault;
    }

    /// <summary>The ranges, ascending; replaced by a longer list when memory is added.</summary>
    public IReadOnlyList<MemoryBank> Banks => _banks;

    /// <summary>The ranges as a back-end must map them.</summary>
    public IReadOnlyList<GuestRamRegion> Regions => _regions;

    /// <summary>The table for translation; boot data is written through it.</summary>
    public GuestMemory Table => _table;

    /// <summary>RAM in all, in bytes.</summary>
    public ulong SizeBytes
    {
        get
        {
            ulong sum = 0;
            foreach (MemoryBank bank in _banks)
            {
                sum += bank.SizeBytes;
            }

            return sum;
        }
    }

    /// <summary>What <see cref="Create"/> makes of a size: whole units of 2 MiB.</summary>
    public static ulong RoundUp(ulong sizeBytes) => (sizeBytes + Granule - 1) & ~(Granule - 1);

    /// <summary>Makes zeroed memory.</summary>
    /// <param name="sizeBytes">Rounded up (<see cref="RoundUp"/>); at most <see cref="MaxSizeBytes"/>.</param>
    /// <param name="hugePages">Back it, and what is added, with huge pages of 2 MiB, which must be free now.</param>
    /// <param name="prefault">Make every page present now, by several threads, instead of at its first use.</param>
    /// <exception cref="IOException">Not enough memory or huge pages.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The size is 0 or too large.</exception>
    public static MachineMemory Create(ulong sizeBytes, bool hugePages = false, bool prefault = false)
    {
        ArgumentOutOfRangeException.ThrowIfZero(sizeBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(sizeBytes, MaxSizeBytes);
        ulong rounded = RoundUp(sizeBytes);
        ulong low = Math.Min(rounded, AddressMap.LowMemoryEnd);
        var memory = new MachineMemory(hugePages, prefault);
        try
        {
            if (low == rounded)
            {
                memory.Take(rounded, [(0UL, low)], attach: null);
            }
            else
            {
                memory.Take(rounded, [(0UL, low), (AddressMap.FourGiB, rounded - low)], attach: null);
            }

            return memory;
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    /// <summary>Adds memory above all that is there.</summary>
    /// <param name="sizeBytes">A multiple of <see cref="AddGranule"/>.</param>
    /// <param name="attach">Gives the range to the virtual machine, before anybody else can see it. When it throws, nothing was added.</param>
    /// <returns>The new range, as back-ends must map it.</returns>
    /// <exception cref="IOException">Not enough memory or huge pages, or no room below <see cref="AddressMap.Pci64"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The size is 0 or no multiple.</exception>
    public GuestRamRegion Add(ulong sizeBytes, Action<MemoryBank> attach)
    {
        ArgumentOutOfRangeException.ThrowIfZero(sizeBytes);
        ArgumentOutOfRangeException.ThrowIfNotEqual(sizeBytes % AddGranule, 0UL, nameof(sizeBytes));
        lock (_gate)
        {
            if (_spare is { } spare)
            {
                if (spare.Bank.SizeBytes == sizeBytes)
                {
                    attach(spare.Bank);
                    _retired.Add(_table);
                    _table = spare.Table;
                    _banks = [.. _banks, spare.Bank];
                    _regions = [.. _regions, spare.Region];
                    _spare = null;
                    return spare.Region;
                }

                _retired.Add(spare.Table);
                _spare = null;
            }

            MemoryBank last = _banks[^1];
            ulong start = (Math.Max(last.Guest + last.SizeBytes, AddressMap.FourGiB) + AddGranule - 1) & ~(AddGranule - 1);
            if (start >= AddressMap.Pci64 || sizeBytes > AddressMap.Pci64 - start)
            {
                throw new IOException($"no room for {sizeBytes >> 20} MiB of memory at 0x{start:x}: memory ends at 0x{AddressMap.Pci64:x}");
            }

            Take(sizeBytes, [(start, sizeBytes)], attach);
            return _regions[^1];
        }
    }

    /// <summary>Takes the range that <see cref="Add"/> gave last out of the machine again: somebody refused it. The next <see cref="Add"/> of its size gives it again.</summary>
    /// <param name="detach">Takes it from the virtual machine.</param>
    /// <exception cref="InvalidOperationException">Nothing was added.</exception>
    public void TakeBack(Action<MemoryBank> detach)
    {
        lock (_gate)
        {
            if (_banks[^1].Guest < AddressMap.FourGiB)
            {
                throw new InvalidOperationException("nothing was added");
            }

            detach(_banks[^1]);
            _spare = (_table, _banks[^1], _regions[^1]);
            _table = GuestMemory.Of(_table.Regions[..^1].ToArray()); // the highest is the last
            _banks = _banks[..^1];
            _regions = _regions[..^1];
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _spare?.Table.Release();
            _spare = null;
            _retired.ForEach(table => table.Release());
            _retired.Clear();
            _table.Release();
            _table = GuestMemory.Empty();
            _banks = [];
            _regions = [];
            _files.ForEach(file => file.Dispose());
            _files.Clear();
        }
    }

    /// <summary>Makes a file, maps it range by range, and publishes the longer lists.</summary>
    private void Take(ulong fileBytes, ReadOnlySpan<(ulong Guest, ulong SizeBytes)> ranges, Action<MemoryBank>? attach)
    {
        MemFd file = CreateFile(fileBytes);
        var mapped = new List<GuestRegion>();
        GuestMemory? table = null;
        try
        {
            var told = new List<GuestRamRegion>(_regions);
            ulong offset = 0;
            foreach ((ulong guest, ulong sizeBytes) in ranges)
            {
                var user = new UserAddress(UserBase + guest);
                mapped.Add(MapRange(new GuestAddress(guest), user, sizeBytes, file, offset));
                told.Add(new GuestRamRegion(new GuestAddress(guest), user, sizeBytes, offset, file));
                offset += sizeBytes;
            }

            table = GuestMemory.Of([.. _table.Regions, .. mapped]);
            var banks = new List<MemoryBank>(_banks);
            foreach (GuestRegion region in mapped)
            {
                banks.Add(new MemoryBank(region.Guest.Value, HostOf(table, region.Guest), region.SizeBytes));
            }

            attach?.Invoke(banks[^1]);
            _retired.Add(_table);
            _files.Add(file);
            _table = table;
            _banks = [.. banks];
            _regions = [.. told];
        }
        catch (Exception failure)
        {
            if (table is null)
            {
                mapped.ForEach(region => region.Discard());
            }
            else
            {
                table.Release();
            }

            file.Dispose();
            if (failure is GuestMemoryException or LinuxException)
            {
                throw new IOException($"guest memory of {fileBytes >> 20} MiB: {failure.Message}", failure);
            }

            throw;
        }
    }

    private MemFd CreateFile(ulong lengthBytes)
    {
        try
        {
            return MemFd.Create("paravane-guest", lengthBytes, _hugePages);
        }
        catch (LinuxException failure)
        {
            throw new IOException($"guest memory of {lengthBytes >> 20} MiB: {failure.Message}", failure);
        }
    }

    private GuestRegion MapRange(GuestAddress guest, UserAddress user, ulong sizeBytes, MemFd file, ulong offset)
    {
        GuestRegion region;
        try
        {
            region = GuestRegion.Map(guest, user, sizeBytes, file, offset, hostAlignment: Granule, reserve: _hugePages);
        }
        catch (GuestMemoryException failure) when (_hugePages && HugePageShortage.Is(failure))
        {
            throw HugePageShortage.Of(sizeBytes, failure);
        }

        try
        {
            if (!_hugePages)
            {
                region.PreferHugePages();
            }

            if (_prefault)
            {
                Prefault(region);
            }

            return region;
        }
        catch
        {
            region.Discard();
            throw;
        }
    }

    /// <summary>Zeroing is limited by one processor's speed, so all take part.</summary>
    private static void Prefault(GuestRegion region)
    {
        ulong next = 0;
        Exception? failure = null;
        var threads = new Thread[(int)Math.Min((ulong)Environment.ProcessorCount, (region.SizeBytes + PrefaultBytes - 1) / PrefaultBytes)];
        for (int i = 0; i < threads.Length; i++)
        {
            threads[i] = new Thread(Work) { IsBackground = true, Name = "prefault" };
            threads[i].Start();
        }

        Array.ForEach(threads, thread => thread.Join());
        if (failure is not null)
        {
            throw new IOException(failure.Message, failure);
        }

        void Work()
        {
            try
            {
                ulong start;
                while (Volatile.Read(ref failure) is null && (start = Interlocked.Add(ref next, PrefaultBytes) - PrefaultBytes) < region.SizeBytes)
                {
                    region.Prefault(start, Math.Min(PrefaultBytes, region.SizeBytes - start));
                }
            }
            catch (LinuxException problem)
            {
                Volatile.Write(ref failure, problem);
            }
        }
    }

    private static byte* HostOf(GuestMemory table, GuestAddress guest)
    {
        _ = table.TryTranslate(guest, 1, out GuestSlice first);
        return (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(first.AsSpan()));
    }
}
