using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Chains;

/// <summary>One chain between taking and completion, in memory outside the garbage-collected heap: what the ring must remember, and the translated buffers.</summary>
/// <remarks>
/// 128 bytes, two cache lines: most chains (a packet, a 4 KiB request) need no overflow chunk. Owned by the worker of the queue. Neighbouring fields also have a
/// name together, so that a chain of one buffer is a handful of stores: while stores to the driver's lines are under way, each other store waits behind them.
/// </remarks>
[StructLayout(LayoutKind.Explicit, Size = 128)]
internal unsafe struct ChainSlot
{
    /// <summary>Buffers that fit into the slot itself.</summary>
    public const int InlineBuffers = 6;

    /// <summary><see cref="Counts"/> of one readable buffer and nothing else.</summary>
    public const uint OneReadable = 1;

    /// <summary><see cref="Counts"/> of one writable buffer and nothing else.</summary>
    public const uint OneWritable = 1 << 16;

    /// <summary><see cref="State"/> of a chain without an overflow chunk.</summary>
    public const uint TakenInline = (1 << 16) | 0xFFFF;

    private const int InlineOffset = 32;

    /// <summary>Buffers, readable ones first; points to the slot's own or to an overflow chunk.</summary>
    [FieldOffset(0)]
    public GuestBuffer* Buffers;

    /// <summary>Bytes the device may read. Together with <see cref="WritableBytes"/> below 2^32.</summary>
    [FieldOffset(8)]
    public uint ReadableBytes;

    /// <summary>Bytes the device may write.</summary>
    [FieldOffset(12)]
    public uint WritableBytes;

    /// <summary>Number of readable buffers.</summary>
    [FieldOffset(16)]
    public ushort ReadableCount;

    /// <summary>Number of writable buffers.</summary>
    [FieldOffset(18)]
    public ushort WritableCount;

    /// <summary>Both numbers of buffers in one word.</summary>
    [FieldOffset(16)]
    public uint Counts;

    /// <summary>Split: head index. Packed: buffer id.</summary>
    [FieldOffset(20)]
    public ushort Head;

    /// <summary>Descriptors of the ring itself that the chain holds, indirect tables counting as one.</summary>
    [FieldOffset(22)]
    public ushort RingDescriptors;

    /// <summary>Overflow chunk in use, or −1.</summary>
    [FieldOffset(24)]
    public short Chunk;

    /// <summary>Non-zero from taking to completion or rewinding.</summary>
    [FieldOffset(26)]
    public byte Taken;

    /// <summary><see cref="Chunk"/> and <see cref="Taken"/> in one word.</summary>
    [FieldOffset(24)]
    public uint State;

    /// <summary>With a record of requests in flight. Packed: the list's first entry there. Split: 1 when the chain was taken again for a predecessor, else 0.</summary>
    [FieldOffset(28)]
    public ushort Entry;

    [FieldOffset(8)]
    private ulong _bytes;

    [FieldOffset(16)]
    private ulong _shape;

    /// <summary>Takes the slot into use, before anything else is stored in it.</summary>
    public static void Open(ChainSlot* slot) => slot->State = TakenInline;

    /// <summary>Takes the slot into use as a chain of one ring descriptor and one buffer.</summary>
    /// <param name="slot">The slot.</param>
    /// <param name="host">First byte of the buffer.</param>
    /// <param name="lengthBytes">Length of the buffer.</param>
    /// <param name="writable">The device may write it, and may not read it.</param>
    /// <param name="head">Head index or buffer id.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetOnly(ChainSlot* slot, byte* host, uint lengthBytes, bool writable, uint head)
    {
        GuestBuffer* buffer = InlineOf(slot);
        buffer->Host = host;
        buffer->LengthBytes = lengthBytes;
        slot->Buffers = buffer;
        slot->State = TakenInline;
        ulong shape = ((ulong)head << 32) | (1UL << 48);
        if (writable)
        {
            // All chains of a queue nearly always take the same way: cheaper than to compute which.
            slot->_bytes = (ulong)lengthBytes << 32;
            slot->_shape = shape | OneWritable;
        }
        else
        {
            slot->_bytes = lengthBytes;
            slot->_shape = shape | OneReadable;
        }
    }

    /// <summary>Makes the slot an empty chain.</summary>
    public static void Reset(ChainSlot* slot)
    {
        slot->Buffers = InlineOf(slot);
        slot->_bytes = 0;
        slot->Counts = 0;
    }

    private static GuestBuffer* InlineOf(ChainSlot* slot) => (GuestBuffer*)((byte*)slot + InlineOffset);
}
