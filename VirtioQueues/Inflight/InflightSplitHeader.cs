using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Inflight;

/// <summary>In front of the entries of one split queue's record, <c>struct QueueRegionSplit</c> (vhost-user: «Inflight I/O tracking»). 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal struct InflightSplitHeader
{
    /// <summary>Feature bits of the record; none is defined.</summary>
    public ulong Features;

    /// <summary>1; 0: the record was never used.</summary>
    public ushort Version;

    /// <summary>Number of entries.</summary>
    public ushort DescNum;

    /// <summary>Head that was linked last; the batch goes on from there by <see cref="InflightSplitEntry.Next"/>.</summary>
    public ushort LastBatchHead;

    /// <summary>used.idx up to which <see cref="InflightSplitEntry.Inflight"/> tells the truth.</summary>
    public ushort UsedIdx;
}
