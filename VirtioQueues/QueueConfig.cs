using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues;

/// <summary>All that a queue needs to start, complete and immutable. Ring addresses are guest addresses whatever the front-end sent.</summary>
public sealed record QueueConfig
{
    /// <summary>Largest queue size of the specification, in descriptors.</summary>
    public const int MaxSize = 32768;

    private const uint DescriptorAlignment = 16, DeviceAlignment = 4;

    /// <summary>Index of the queue in its device.</summary>
    public required int Index { get; init; }

    /// <summary>Queue size in descriptors: 1…32768, a power of two in split rings.</summary>
    public required int Size { get; init; }

    /// <summary>Negotiated features of the device.</summary>
    public required ulong Features { get; init; }

    /// <summary>Descriptor table (split) or descriptor ring (packed), 16-byte aligned.</summary>
    public required GuestAddress DescriptorArea { get; init; }

    /// <summary>Available ring (split, 2-byte aligned) or driver event suppression (packed, 4-byte aligned).</summary>
    public required GuestAddress DriverArea { get; init; }

    /// <summary>Used ring (split) or device event suppression (packed), 4-byte aligned.</summary>
    public required GuestAddress DeviceArea { get; init; }

    /// <summary>Where to go on.</summary>
    public required QueueState State { get; init; }

    /// <summary>Guest address at which writes to the device area are logged, or null when they are not (VHOST_VRING_F_LOG).</summary>
    public GuestAddress? UsedLog { get; init; }

    /// <summary>Where requests in flight are recorded, and where those of a predecessor are found; outlives the queue. Null: nothing is recorded.</summary>
    public InflightRecord? Inflight { get; init; }

    /// <summary>
    /// The device completes this queue in order and never writes into its chains (net transmit), so that with
    /// <see cref="VirtioFeatures.InOrder"/> negotiated one used element may stand for a burst (virtio 1.2 §2.7.9, §2.8.8). The WRITE flag of its descriptors means nothing then: DPDK's driver sets it for the
    /// header in packed indirect tables, in front of the readable rest.
    /// </summary>
    public bool CompletesInOrderWithoutWriting { get; init; }

    /// <summary>One used element for each burst.</summary>
    public bool BatchesInOrder => CompletesInOrderWithoutWriting && Has(VirtioFeatures.InOrder);

    /// <summary>Ring format by <see cref="VirtioFeatures.RingPacked"/>.</summary>
    public RingFormat Format => Has(VirtioFeatures.RingPacked) ? RingFormat.Packed : RingFormat.Split;

    private uint DriverAlignment => Format == RingFormat.Split ? 2u : 4u;

    /// <summary>Size of the three areas in bytes (virtio 1.2 §2.7, §2.8.10).</summary>
    public (uint Descriptor, uint Driver, uint Device) AreaSizes() => Format == RingFormat.Split
        ? ((uint)Size * 16, ((uint)Size * 2) + 6, ((uint)Size * 8) + 6)
        : ((uint)Size * 16, 4, 4);

    /// <summary>True when all bits of <paramref name="mask"/> were negotiated.</summary>
    public bool Has(ulong mask) => (Features & mask) == mask;

    /// <summary>Checks size and base, alignment, the record and, with a table given, that each area lies inside one region.</summary>
    /// <returns>Null, or a sentence that names the value and the rule (threats M10, M11, I3).</returns>
    public unsafe string? FindError(GuestMemory? memory)
    {
        if (Size is < 1 or > MaxSize || (Format == RingFormat.Split && !System.Numerics.BitOperations.IsPow2(Size)))
        {
            return $"size 0x{Size:x} is not {(Format == RingFormat.Split ? "a power of two " : string.Empty)}in 1…{MaxSize}";
        }

        if (Format == RingFormat.Packed && (State.AvailPosition >= Size || State.UsedPosition >= Size))
        {
            return $"base 0x{State.Raw:x} has a position outside the ring of 0x{Size:x} descriptors";
        }

        (uint descriptor, uint driver, uint device) = AreaSizes();
        return Inflight?.FindError(Index, Size, Format)
            ?? FindAreaError(memory, "descriptor area", DescriptorArea, descriptor, DescriptorAlignment, out _)
            ?? FindAreaError(memory, "driver area", DriverArea, driver, DriverAlignment, out _)
            ?? FindAreaError(memory, "device area", DeviceArea, device, DeviceAlignment, out _);
    }

    /// <summary>Pointers to the three areas in <paramref name="memory"/>, each inside one region and aligned.</summary>
    /// <returns>False when one is not; the pointers mean nothing then.</returns>
    internal unsafe bool TryResolve(GuestMemory memory, out byte* descriptor, out byte* driver, out byte* device)
    {
        (uint descriptorBytes, uint driverBytes, uint deviceBytes) = AreaSizes();
        bool resolved = FindAreaError(memory, string.Empty, DescriptorArea, descriptorBytes, DescriptorAlignment, out descriptor) is null;
        resolved &= FindAreaError(memory, string.Empty, DriverArea, driverBytes, DriverAlignment, out driver) is null;
        return resolved & FindAreaError(memory, string.Empty, DeviceArea, deviceBytes, DeviceAlignment, out device) is null;
    }

    private static unsafe string? FindAreaError(GuestMemory? memory, string name, GuestAddress address, uint lengthBytes, uint alignment, out byte* host)
    {
        host = null;
        if ((address.Value & (alignment - 1)) != 0)
        {
            return $"{name} {address} is not {alignment}-byte aligned";
        }

        if (memory is null)
        {
            return null;
        }

        host = memory.Find(address, lengthBytes);
        if (host == null)
        {
            return $"{name} {address} (0x{lengthBytes:x} bytes) is not inside one memory region";
        }

        // A region may begin at any offset of its file, so that what is aligned in the guest need not be so here.
        return ((nuint)host & (alignment - 1)) == 0 ? null : $"{name} {address} is not {alignment}-byte aligned in its file";
    }
}
