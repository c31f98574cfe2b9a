using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VhostServer.Session;

/// <summary>Remembers which regions came by ADD_MEM_REG and how often, so that a front-end may say each thing once per queue pair.</summary>
/// <remarks>
/// QEMU before 8.1 sends ADD_MEM_REG and REM_MEM_REG of the same region for each queue pair of a NIC. The second ADD of a region changes nothing;
/// after n ADDs the first REM takes the region away and n − 1 more are owed, which then change nothing either. When the region comes back while some are
/// owed, the pairs that owe them still believe in it, so each of them counts as one that added it. Session thread only.
/// </remarks>
internal sealed class RegionLedger
{
    /// <summary>Entries kept: all regions that can be there, and as many that are gone with removals owed. The oldest is forgotten first.</summary>
    private const int MaxEntries = 2 * GuestMemory.MaxRegions;

    private readonly List<Entry> _entries = [];

    /// <summary>True when <paramref name="region"/> of this very file is there already: one more time is counted.</summary>
    public bool TryRepeat(in MemoryRegion region, FileStatus file)
    {
        if (Find(region) is not { Times: > 0 } entry || entry.Region.MmapOffset != region.MmapOffset || entry.Device != file.Device || entry.Inode != file.Inode)
        {
            return false;
        }

        entry.Times++;
        return true;
    }

    /// <summary>A region was added.</summary>
    public void Add(in MemoryRegion region, FileStatus file)
    {
        uint times = 1;
        if (Find(region) is { } gone)
        {
            times += gone.Owed;
            _entries.Remove(gone);
        }
        else if (_entries.Count == MaxEntries)
        {
            _entries.RemoveAt(0);
        }

        _entries.Add(new Entry(region, file.Device, file.Inode) { Times = times });
    }

    /// <summary>True when this removal is one that is owed.</summary>
    public bool TryRepay(in MemoryRegion region)
    {
        if (Find(region) is not { Owed: > 0 } entry)
        {
            return false;
        }

        entry.Owed--;
        ForgetSettled(entry);
        return true;
    }

    /// <summary>A region was removed.</summary>
    public void Remove(in MemoryRegion region)
    {
        if (Find(region) is { } entry)
        {
            entry.Owed = entry.Times - 1;
            entry.Times = 0;
            ForgetSettled(entry);
        }
    }

    /// <summary>SET_MEM_TABLE starts anew.</summary>
    public void Clear() => _entries.Clear();

    private void ForgetSettled(Entry entry)
    {
        if (entry is { Times: 0, Owed: 0 })
        {
            _entries.Remove(entry);
        }
    }

    private Entry? Find(MemoryRegion region) => _entries.Find(entry =>
        entry.Region.GuestAddress == region.GuestAddress && entry.Region.UserAddress == region.UserAddress && entry.Region.SizeBytes == region.SizeBytes);

    private sealed class Entry(MemoryRegion region, ulong device, ulong inode)
    {
        public MemoryRegion Region { get; } = region;

        public ulong Device { get; } = device;

        public ulong Inode { get; } = inode;

        /// <summary>ADDs of a region that is there; 0 when it is gone.</summary>
        public uint Times { get; set; }

        /// <summary>REMs still to come for a region that is gone.</summary>
        public uint Owed { get; set; }
    }
}
