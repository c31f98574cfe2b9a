namespace Paravane.VirtioQueues;

/// <summary>Where a stopped queue goes on: the vring base of vhost-user (SET_VRING_BASE, GET_VRING_BASE), 32 bits.</summary>
/// <param name="Raw">
/// Split: bits 0–15 the next available index. Packed: bits 0–14 available position, bit 15 its wrap counter, bits 16–30 used position,
/// bit 31 its wrap counter.
/// </param>
public readonly record struct QueueState(uint Raw)
{
    /// <summary>State of a ring that never ran.</summary>
    public static QueueState Fresh(RingFormat format) => new(format == RingFormat.Packed ? 0x8000_8000u : 0u);

    /// <summary>Split: next available index.</summary>
    public static QueueState Split(ushort nextAvail) => new(nextAvail);

    /// <summary>Packed: both positions with their wrap counters.</summary>
    public static QueueState Packed(ushort availPosition, bool availWrap, ushort usedPosition, bool usedWrap) =>
        new((uint)(availPosition | (availWrap ? 0x8000 : 0)) | ((uint)(usedPosition | (usedWrap ? 0x8000 : 0)) << 16));

    /// <summary>Split: next available index, free-running.</summary>
    public ushort NextAvail => (ushort)Raw;

    /// <summary>Packed: next slot to fetch.</summary>
    public ushort AvailPosition => (ushort)(Raw & 0x7fff);

    /// <summary>Packed: wrap counter of <see cref="AvailPosition"/>.</summary>
    public bool AvailWrap => (Raw & 0x8000) != 0;

    /// <summary>Packed: next slot to complete into. A peer that keeps only the lower half means «used = avail».</summary>
    public ushort UsedPosition => HasUsed ? (ushort)((Raw >> 16) & 0x7fff) : AvailPosition;

    /// <summary>Packed: wrap counter of <see cref="UsedPosition"/>.</summary>
    public bool UsedWrap => HasUsed ? (Raw >> 31) != 0 : AvailWrap;

    private bool HasUsed => (Raw >> 16) != 0 || Raw == 0;
}
