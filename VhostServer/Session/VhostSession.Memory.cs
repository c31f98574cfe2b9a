using System.Runtime.CompilerServices;
using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;
using Paravane.VhostServer.Workers;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VhostServer.Session;

/// <content>The memory table. Each change is checked whole, made as a new table, and answered when the old one is let go.</content>
internal sealed partial class VhostSession
{
    /// <summary>GET_MAX_MEM_SLOTS.</summary>
    public void GetMaxMemSlots() => Reply((ulong)GuestMemory.MaxRegions);

    /// <summary>SET_MEM_TABLE: replaces everything.</summary>
    public void SetMemTable(Message message)
    {
        int bytes = message.Payload.Length - Unsafe.SizeOf<MemoryTableHeader>(), each = Unsafe.SizeOf<MemoryRegion>();
        if (bytes % each != 0)
        {
            throw new VhostFramingException($"SET_MEM_TABLE: a payload of {message.Payload.Length} bytes holds no whole number of regions");
        }

        uint count = message.Read<MemoryTableHeader>().Count;
        if (count != bytes / each || count != message.Descriptors.Count)
        {
            Refused($"{count} regions announced, {bytes / each} sent, with {message.Descriptors.Count} descriptors");
        }

        var regions = new List<GuestRegion>();
        GuestMemory next;
        try
        {
            for (int i = 0; i < count; i++)
            {
                regions.Add(Map(message.Read<MemoryRegion>(Unsafe.SizeOf<MemoryTableHeader>() + (i * each)), message.Descriptors.Peek(i)));
            }

            next = GuestMemory.Of(regions);
        }
        catch
        {
            regions.ForEach(region => region.Discard());
            throw;
        }

        ChangeMemory(next);
        _ledger.Clear();
    }

    /// <summary>ADD_MEM_REG. The same region of the same file again is no mistake, see <see cref="RegionLedger"/>.</summary>
    public void AddMemReg(Message message)
    {
        MemoryRegion wanted = message.Read<SingleMemoryRegion>().Region;
        FileStatus file = FileStatus.Of(message.Descriptors.Peek(0));
        if (_ledger.TryRepeat(wanted, file))
        {
            return;
        }

        GuestRegion region = Map(wanted, message.Descriptors.Peek(0));
        GuestMemory next;
        try
        {
            next = GuestMemory.Of([.. _memory.Regions, region]);
        }
        catch
        {
            region.Discard();
            throw;
        }

        ChangeMemory(next);
        _ledger.Add(wanted, file);
    }

    /// <summary>REM_MEM_REG: found by guest address, user address and size.</summary>
    public void RemMemReg(Message message)
    {
        MemoryRegion wanted = message.Read<SingleMemoryRegion>().Region;
        if (_ledger.TryRepay(wanted))
        {
            return;
        }

        GuestRegion[] rest = Array.FindAll(
            _memory.Regions.ToArray(),
            region => region.Guest.Value != wanted.GuestAddress || region.User.Value != wanted.UserAddress || region.SizeBytes != wanted.SizeBytes);
        if (rest.Length == _memory.Regions.Length)
        {
            Refused($"there is no region at 0x{wanted.GuestAddress:x} (user 0x{wanted.UserAddress:x}, size 0x{wanted.SizeBytes:x})");
        }

        ChangeMemory(GuestMemory.Of(rest));
        _ledger.Remove(wanted);
    }

    private static GuestRegion Map(MemoryRegion region, FileDescriptor file) =>
        GuestRegion.Map(new GuestAddress(region.GuestAddress), new UserAddress(region.UserAddress), region.SizeBytes, file, region.MmapOffset);

    /// <summary>Moves all rings to <paramref name="next"/>, whose first reference becomes the session's, and starts rings that waited for memory.</summary>
    private void ChangeMemory(GuestMemory next)
    {
        try
        {
            WidenPrivateLog(next);
        }
        catch
        {
            next.Release();
            throw;
        }

        GuestMemory old = _memory;
        _memory = next;
        try
        {
            MoveRings();
        }
        finally
        {
            old.Release(); // rings that did not move hold it themselves
        }

        foreach (Vring vring in _vrings)
        {
            StartRemembered(vring);
        }
    }

    private void MoveRings()
    {
        if (!IsAnyRunning)
        {
            return;
        }

        GuestMemory next = _memory;
        var areas = new RingAreas[_vrings.Length];
        foreach (Vring vring in _vrings)
        {
            areas[vring.Index] = Locate(vring) is { } found && ConfigOf(vring, found).FindError(next) is null ? found : RingAreas.Missing;
        }

        ExecuteAll(worker => worker.TryMoveTo(next, areas));
    }

    /// <summary>The table itself is fine, so a ring that cannot start with it is no reason to refuse it.</summary>
    private void StartRemembered(Vring vring)
    {
        try
        {
            TryStart(vring);
        }
        catch (VhostProtocolException refusal)
        {
            VhostServerLog.RequestRefused(_log, refusal.Message);
            vring.ForgetSignals();
            if (vring.Error is { } error)
            {
                EventFd.Signal(error.Number);
            }
        }
    }
}
