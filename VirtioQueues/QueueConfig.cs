using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues;

/// <summary>All that a queue needs to start, complete and immutable. Ring addresses are guest addresses whatever the front-end sent.</summary>
public sealed record QueueConfig
{
    /// <summary>Largest queue size of the specification, in descriptors.</summary>
    public const int MaxSize = 32768;

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

    /// <summary>
    /// The device completes this queue in order and never writes into its chains (net transmit), so that with
    /// <see cref="VirtioFeatures.InOrder"/> negotiated one used element may stand for a burst (virtio 1.2 §2.7.9, §2.8.8).
    /// </summary>
    public bool CompletesInOrderWithoutWriting { get; init; }

    /// <summary>One used element for each burst.</summary>
    public bool BatchesInOrder => CompletesInOrderWithoutWriting && Has(VirtioFeatures.InOrder);

    /// <summary>Ring format by <see cref="VirtioFeatures.RingPacked"/>.</summary>
    public RingFormat Format => Has(VirtioFeatures.RingPacked) ? RingFormat.Packed : RingFormat.Split;

    /// <summary>Size of the three areas in bytes (virtio 1.2 §2.7, §2.8.10).</summary>
    public (uint Descriptor, uint Driver, uint Device) AreaSizes() => Format == RingFormat.Split
        ? ((uint)Size * 16, ((uint)Size * 2) + 6, ((uint)Size * 8) + 6)
        : ((uint)Size * 16, 4, 4);

    /// <summary>True when all bits of <paramref name="mask"/> were negotiated.</summary>
    public bool Has(ulong mask) => (Features & mask) == mask;

    /// <summary>Checks size, alignment and, with a table given, that each area lies inside one region.</summary>
    /// <returns>Null, or a sentence that names the value and the rule (threats M10, M11).</returns>
    public string? FindError(GuestMemory? memory)
    {
        if (Size is < 1 or > MaxSize || (Format == RingFormat.Split && !System.Numerics.BitOperations.IsPow2(Size)))
        {
            return $"size 0x{Size:x} is not {(Format == RingFormat.Split ? "a power of two " : string.Empty)}in 1…{MaxSize}";
        }

        (uint descriptor, uint driver, uint device) = AreaSizes();
        return FindAreaError(memory, "descriptor area", DescriptorArea, descriptor, 16)
            ?? FindAreaError(memory, "driver area", DriverArea, driver, Format == RingFormat.Split ? 2u : 4u)
            ?? FindAreaError(memory, "device area", DeviceArea, device, 4);
    }

    private static string? FindAreaError(GuestMemory? memory, string name, GuestAddress address, uint lengthBytes, uint alignment)
    {
        if ((address.Value & (alignment - 1)) != 0)
        {
            return $"{name} {address} is not {alignment}-byte aligned";
        }

        return memory is null || memory.TryTranslate(address, lengthBytes, out _)
            ? null
            : $"{name} {address} (0x{lengthBytes:x} bytes) is not inside one memory region";
    }
}
