using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Inflight;

/// <summary>In front of the entries of one packed queue's record, <c>struct QueueRegionPacked</c> (vhost-user: «Inflight I/O tracking»). 32 bytes.</summary>
/// <remarks>Each value that a publication changes stands twice: as it will be, and (old) as it was before.</remarks>
[StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct InflightPackedHeader
{
    /// <summary>Feature bits of the record; none is defined.</summary>
    [FieldOffset(0)]
    public ulong Features;

    /// <summary>1; 0: the record was never used.</summary>
    [FieldOffset(8)]
    public ushort Version;

    /// <summary>Number of entries.</summary>
    [FieldOffset(10)]
    public ushort DescNum;

    /// <summary>First entry of the free list.</summary>
    [FieldOffset(12)]
    public ushort FreeHead;

    /// <summary>The same, before the last taking or publication.</summary>
    [FieldOffset(14)]
    public ushort OldFreeHead;

    /// <summary>Used position.</summary>
    [FieldOffset(16)]
    public ushort UsedIdx;

    /// <summary>The same, before the last publication.</summary>
    [FieldOffset(18)]
    public ushort OldUsedIdx;

    /// <summary>Wrap counter of <see cref="UsedIdx"/>: 0 or 1.</summary>
    [FieldOffset(20)]
    public byte UsedWrap;

    /// <summary>Wrap counter of <see cref="OldUsedIdx"/>.</summary>
    [FieldOffset(21)]
    public byte OldUsedWrap;

    /// <summary>The four above as one word: a position never parts from its wrap counter.</summary>
    [FieldOffset(16)]
    public ulong Positions;
}
