using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Inflight;

/// <summary>One descriptor of a packed queue, as it was taken, <c>struct DescStatePacked</c>. 32 bytes. The first entry of a list also speaks for the whole list.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct InflightPackedEntry
{
    /// <summary>First entry of a list: 1 from taking to publication.</summary>
    [FieldOffset(0)]
    public byte Inflight;

    /// <summary>Next entry of the list, or of the free list.</summary>
    [FieldOffset(2)]
    public ushort Next;

    /// <summary>First entry of a list: its last entry.</summary>
    [FieldOffset(4)]
    public ushort Last;

    /// <summary>First entry of a list: number of its entries.</summary>
    [FieldOffset(6)]
    public ushort Num;

    /// <summary>First entry of a list: order of taking.</summary>
    [FieldOffset(8)]
    public ulong Counter;

    /// <summary>Buffer id.</summary>
    [FieldOffset(16)]
    public ushort Id;

    /// <summary>Flags of the descriptor, AVAIL and USED included.</summary>
    [FieldOffset(18)]
    public ushort Flags;

    /// <summary>Length in bytes.</summary>
    [FieldOffset(20)]
    public uint Len;

    /// <summary>Guest address.</summary>
    [FieldOffset(24)]
    public ulong Addr;

    /// <summary><see cref="Id"/>, <see cref="Flags"/> and <see cref="Len"/> as one word.</summary>
    [FieldOffset(16)]
    public ulong IdFlagsLen;
}
