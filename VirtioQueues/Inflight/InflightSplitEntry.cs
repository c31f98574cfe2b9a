using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Inflight;

/// <summary>What a split queue's record says of one head, <c>struct DescStateSplit</c>. 16 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct InflightSplitEntry
{
    /// <summary>1 from taking to publication.</summary>
    [FieldOffset(0)]
    public byte Inflight;

    /// <summary>The head that was linked before this one.</summary>
    [FieldOffset(6)]
    public ushort Next;

    /// <summary>Order of taking.</summary>
    [FieldOffset(8)]
    public ulong Counter;
}
