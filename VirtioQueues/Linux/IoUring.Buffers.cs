using Paravane.VirtioQueues.Memory;
using static Paravane.VirtioQueues.Linux.IoUringAbi;

namespace Paravane.VirtioQueues.Linux;

/// <content>Registered buffers over guest memory: pages pinned once, not for each operation.</content>
public sealed unsafe partial class IoUring
{
    /// <summary>Longest registered buffer, a limit of the kernel.</summary>
    private const ulong BufferBytes = 1 << 30;

    /// <summary>Places in the kernel's table: every region of a full memory table, and a tebibyte of pieces.</summary>
    private const int TablePlaces = GuestMemory.MaxRegions + 1024;

    private readonly List<RegisteredRegion> _registered = [];
    private readonly Stack<ushort> _freePlaces = new();
    private bool _hasTable;
    private byte* _hintStart;
    private nuint _hintBytes;
    private ushort _hintIndex;

    /// <summary>Regions of guest memory whose pages are pinned.</summary>
    public int RegisteredRegions => _registered.Count(region => region.Places.Length != 0);

    /// <summary>
    /// Registers the regions of <paramref name="memory"/> and lets those go that it lacks. Regions in both stay untouched, so operations in
    /// them may be in flight.
    /// </summary>
    /// <remarks>Some kinds of memory cannot be registered, and the locked-memory limit may be in the way: operations in those go the plain way.</remarks>
    public void RegisterMemory(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        if (!_hasTable && !TryMakeTable())
        {
            return;
        }

        _hintBytes = 0;
        ReadOnlySpan<GuestRegion> regions = memory.Regions;
        for (int i = _registered.Count - 1; i >= 0; i--)
        {
            if (regions.IndexOf(_registered[i].Region) < 0)
            {
                Unregister(_registered[i]);
                _registered.RemoveAt(i);
            }
        }

        foreach (GuestRegion region in regions)
        {
            if (!_registered.Exists(known => known.Region == region))
            {
                _registered.Add(Register(region));
            }
        }
    }

    private bool TryMakeTable()
    {
        var table = new ResourceRegister { Count = TablePlaces, Flags = Sparse };
        if (Native.Syscall(RegisterCall, Number, (nint)RegisterBuffers2, (nint)(&table), sizeof(ResourceRegister)) != 0)
        {
            return false;
        }

        for (int i = TablePlaces - 1; i >= 0; i--)
        {
            _freePlaces.Push((ushort)i);
        }

        return _hasTable = true;
    }

    private RegisteredRegion Register(GuestRegion region)
    {
        int pieces = (int)((region.SizeBytes + BufferBytes - 1) / BufferBytes);
        if (pieces > _freePlaces.Count)
        {
            return new RegisteredRegion(region, []);
        }

        var places = new ushort[pieces];
        for (int i = 0; i < pieces; i++)
        {
            places[i] = _freePlaces.Pop();
            ulong offset = (ulong)i * BufferBytes;
            var piece = new GuestBuffer { Host = region.Host + offset, LengthBytes = (nuint)Math.Min(BufferBytes, region.SizeBytes - offset) };
            if (!Update(places[i], piece))
            {
                // The memory is of a kind that cannot be pinned, or too much of it is.
                Unregister(new RegisteredRegion(region, places[..(i + 1)]));
                return new RegisteredRegion(region, []);
            }
        }

        return new RegisteredRegion(region, places);
    }

    private void Unregister(RegisteredRegion region)
    {
        foreach (ushort place in region.Places)
        {
            Update(place, default);
            _freePlaces.Push(place);
        }
    }

    private bool Update(ushort place, GuestBuffer piece)
    {
        var update = new ResourceUpdate { Offset = place, Data = (ulong)&piece, Count = 1 };
        return Native.Syscall(RegisterCall, Number, (nint)RegisterBuffersUpdate, (nint)(&update), sizeof(ResourceUpdate)) == 1;
    }

    private bool TryFindRegistered(byte* host, nuint lengthBytes, out ushort index)
    {
        nuint offset = (nuint)host - (nuint)_hintStart;
        if (offset < _hintBytes && lengthBytes <= _hintBytes - offset)
        {
            index = _hintIndex;
            return true;
        }

        foreach (RegisteredRegion registered in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_registered))
        {
            ulong inRegion = (ulong)host - (ulong)registered.Region.Host;
            if (inRegion >= registered.Region.SizeBytes || registered.Places.Length == 0)
            {
                continue;
            }

            ulong piece = inRegion / BufferBytes;
            _hintStart = registered.Region.Host + (piece * BufferBytes);
            _hintBytes = (nuint)Math.Min(BufferBytes, registered.Region.SizeBytes - (piece * BufferBytes));
            _hintIndex = index = registered.Places[piece];
            return lengthBytes <= _hintBytes - (nuint)(host - _hintStart); // over the border of two pieces: the plain way
        }

        index = 0;
        return false;
    }

    /// <summary>A region and its places in the kernel's table; none when it was refused.</summary>
    private readonly record struct RegisteredRegion(GuestRegion Region, ushort[] Places);
}
