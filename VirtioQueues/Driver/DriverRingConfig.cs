using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Driver;

/// <summary>Where a driver keeps its ring, and what was negotiated. Immutable.</summary>
public sealed record DriverRingConfig
{
    /// <summary>Areas written by different sides never share a cache line or the neighbour that the prefetcher fetches along with it.</summary>
    public const int AreaAlignmentBytes = 128;

    private const uint DescriptorBytes = 16;

    /// <summary>The table that holds the ring. Its holder keeps it acquired as long as the ring is used.</summary>
    public required GuestMemory Memory { get; init; }

    /// <summary>Queue size in descriptors.</summary>
    public required int Size { get; init; }

    /// <summary>Negotiated features: RING_PACKED, EVENT_IDX, INDIRECT_DESC and IN_ORDER matter here.</summary>
    public required ulong Features { get; init; }

    /// <summary>Descriptor table (split) or descriptor ring (packed).</summary>
    public required GuestAddress DescriptorArea { get; init; }

    /// <summary>Available ring (split) or driver event suppression (packed).</summary>
    public required GuestAddress DriverArea { get; init; }

    /// <summary>Used ring (split) or device event suppression (packed).</summary>
    public required GuestAddress DeviceArea { get; init; }

    /// <summary>One indirect table for each descriptor of the ring, one behind the other; any alignment.</summary>
    public GuestAddress IndirectArea { get; init; }

    /// <summary>Entries of each indirect table; 0: no indirect chains.</summary>
    public int IndirectEntries { get; init; }

    /// <summary>Where the device starts too (SET_VRING_BASE), with nothing in flight; null: at the beginning.</summary>
    public QueueState? Start { get; init; }

    /// <summary>Which ring struct to open.</summary>
    public RingFormat Format => (Features & VirtioFeatures.RingPacked) != 0 ? RingFormat.Packed : RingFormat.Split;

    /// <summary>Bytes of guest memory that <see cref="Lay"/> uses.</summary>
    public static ulong BytesNeeded(int size, ulong features, int indirectEntries = 0)
    {
        (_, _, ulong indirect) = Offsets(size, features);
        return AlignUp(indirect + ((ulong)size * (ulong)indirectEntries * DescriptorBytes));
    }

    /// <summary>Places the areas of a ring one after the other from <paramref name="at"/> on.</summary>
    /// <param name="memory">The table; all areas must lie in one region of it.</param>
    /// <param name="at">First byte, a multiple of <see cref="AreaAlignmentBytes"/>.</param>
    /// <param name="size">Queue size in descriptors.</param>
    /// <param name="features">Negotiated features.</param>
    /// <param name="indirectEntries">Entries of each indirect table, 0 for none.</param>
    public static DriverRingConfig Lay(GuestMemory memory, GuestAddress at, int size, ulong features, int indirectEntries = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(at.Value % AreaAlignmentBytes, 0UL, nameof(at));
        (ulong driver, ulong device, ulong indirect) = Offsets(size, features);
        return new DriverRingConfig
        {
            Memory = memory,
            Size = size,
            Features = features,
            DescriptorArea = at,
            DriverArea = new GuestAddress(at.Value + driver),
            DeviceArea = new GuestAddress(at.Value + device),
            IndirectArea = new GuestAddress(at.Value + indirect),
            IndirectEntries = indirectEntries,
        };
    }

    /// <summary>The same ring as a device in this process starts it.</summary>
    public QueueConfig ToQueueConfig(int index = 0) => new()
    {
        Index = index,
        Size = Size,
        Features = Features,
        DescriptorArea = DescriptorArea,
        DriverArea = DriverArea,
        DeviceArea = DeviceArea,
        State = Start ?? QueueState.Fresh(Format),
    };

    /// <summary>Pointers to the areas, cleared.</summary>
    /// <exception cref="ArgumentException">Something is wrong with the configuration.</exception>
    internal unsafe byte* Resolve(RingFormat format, out byte* driver, out byte* device, out byte* indirect)
    {
        QueueConfig queue = ToQueueConfig();
        string? error = Format != format ? $"features 0x{Features:x} belong to the other ring format" : queue.FindError(Memory);
        ulong indirectBytes = (ulong)Size * (ulong)IndirectEntries * DescriptorBytes;
        indirect = error is null && IndirectEntries > 0 ? Memory.Find(IndirectArea, indirectBytes) : null;
        if (IndirectEntries < 0 || (IndirectEntries > 0 && (indirect == null || !queue.Has(VirtioFeatures.IndirectDesc))))
        {
            error ??= $"indirect tables at {IndirectArea} ({IndirectEntries} entries each) are not inside one memory region, or the feature is missing";
        }

        if (error is not null)
        {
            throw new ArgumentException(error);
        }

        (uint descriptorBytes, uint driverBytes, uint deviceBytes) = queue.AreaSizes();
        _ = queue.TryResolve(Memory, out byte* descriptor, out driver, out device);

        // SAFETY: FindError translated all three areas in this table.
        new Span<byte>(descriptor, (int)descriptorBytes).Clear();
        new Span<byte>(driver, (int)driverBytes).Clear();
        new Span<byte>(device, (int)deviceBytes).Clear();
        return descriptor;
    }

    private static (ulong Driver, ulong Device, ulong Indirect) Offsets(int size, ulong features)
    {
        bool packed = (features & VirtioFeatures.RingPacked) != 0;
        ulong driver = AlignUp((ulong)size * DescriptorBytes);
        ulong device = driver + AlignUp(packed ? 4 : ((ulong)size * 2) + 6);
        return (driver, device, device + AlignUp(packed ? 4 : ((ulong)size * 8) + 6));
    }

    private static ulong AlignUp(ulong value) => (value + AreaAlignmentBytes - 1) & ~(ulong)(AreaAlignmentBytes - 1);
}
