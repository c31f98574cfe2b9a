using Paravane.Hypervisor.Memory;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Frontend;

/// <summary>One queue as its front-end holds it: ring areas in guest memory and the three eventfds.</summary>
public sealed class FrontendQueue : IDisposable
{
    private readonly GuestRam _ram;

    /// <summary>Lays the ring out in <paramref name="ram"/>. A driver must open it (which clears it) before <see cref="Start"/>.</summary>
    /// <param name="ram">Guest memory.</param>
    /// <param name="index">Index of the queue in its device.</param>
    /// <param name="size">Queue size in descriptors.</param>
    /// <param name="features">Negotiated features.</param>
    /// <param name="indirectEntries">Entries of each indirect table, 0 for none.</param>
    public FrontendQueue(GuestRam ram, int index, int size, ulong features, int indirectEntries = 0)
    {
        ArgumentNullException.ThrowIfNull(ram);
        _ram = ram;
        Index = index;
        GuestArea area = ram.Allocate(checked((uint)BytesNeeded(size, features, indirectEntries)), DriverRingConfig.AreaAlignmentBytes);
        Ring = DriverRingConfig.Lay(ram.Table, area.Guest, size, features, indirectEntries);
    }

    /// <summary>Index of the queue in its device.</summary>
    public int Index { get; }

    /// <summary>What a driver opens.</summary>
    public DriverRingConfig Ring { get; }

    /// <summary>New buffers: driver to device.</summary>
    public EventFd Kick { get; } = new();

    /// <summary>Used buffers: device to driver.</summary>
    public EventFd Call { get; } = new();

    /// <summary>The device found the ring broken.</summary>
    public EventFd Error { get; } = new();

    /// <summary>Guest memory that one queue takes.</summary>
    public static ulong BytesNeeded(int size, ulong features, int indirectEntries = 0) =>
        DriverRingConfig.BytesNeeded(size, features, indirectEntries) + DriverRingConfig.AreaAlignmentBytes;

    /// <summary>Hands the queue to the back-end, in QEMU's order, with a first kick for back-ends that wait for one. Enabling comes later.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void Start(VhostUserFrontend frontend)
    {
        ArgumentNullException.ThrowIfNull(frontend);
        try
        {
            frontend.SetVringNum(Index, Ring.Size);
        }
        catch (FrontendException failure) when (frontend.IsUsable)
        {
            throw new FrontendException($"the back-end has no queue {Index}, or none with a ring of {Ring.Size}: ask for fewer queues or smaller rings ({failure.Message})", failure);
        }

        frontend.SetVringBase(Index, Ring.Start ?? QueueState.Fresh(Ring.Format));
        frontend.SetVringAddress(new VringAddress(
            (uint)Index,
            VringAddressFlags.None,
            descriptor: UserOf(Ring.DescriptorArea.Value),
            used: UserOf(Ring.DeviceArea.Value),
            available: UserOf(Ring.DriverArea.Value),
            log: 0));
        frontend.SetVringErr(Index, Error);
        frontend.SetVringKick(Index, Kick);
        Kick.Signal();
        frontend.SetVringCall(Index, Call);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Kick.Dispose();
        Call.Dispose();
        Error.Dispose();
    }

    private ulong UserOf(ulong guest)
    {
        foreach (GuestRamRegion region in _ram.Regions)
        {
            if (guest - region.Guest.Value < region.SizeBytes)
            {
                return region.User.Value + (guest - region.Guest.Value);
            }
        }

        throw new InvalidOperationException($"0x{guest:x} is not guest memory");
    }
}
