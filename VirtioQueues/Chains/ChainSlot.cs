using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Chains;

/// <summary>One chain between taking and completion, in memory outside the garbage-collected heap: what the ring must remember, and the translated buffers.</summary>
/// <remarks>128 bytes, two cache lines: most chains (a packet, a 4 KiB request) need no overflow chunk. Owned by the worker of the queue.</remarks>
[StructLayout(LayoutKind.Sequential, Size = 128)]
internal unsafe struct ChainSlot
{
    /// <summary>Buffers that fit into the slot itself.</summary>
    public const int InlineBuffers = 6;

    /// <summary>Buffers, readable ones first; points to <see cref="_inline"/> or to an overflow chunk.</summary>
    public GuestBuffer* Buffers;

    /// <summary>Bytes the device may read. Together with <see cref="WritableBytes"/> below 2^32.</summary>
    public uint ReadableBytes;

    /// <summary>Bytes the device may write.</summary>
    public uint WritableBytes;

    /// <summary>Number of readable buffers.</summary>
    public ushort ReadableCount;

    /// <summary>Number of writable buffers.</summary>
    public ushort WritableCount;

    /// <summary>Split: head index. Packed: buffer id.</summary>
    public ushort Head;

    /// <summary>Descriptors of the ring itself that the chain holds, indirect tables counting as one.</summary>
    public ushort RingDescriptors;

    /// <summary>Overflow chunk in use, or −1.</summary>
    public short Chunk;

    /// <summary>Non-zero from taking to completion or rewinding.</summary>
    public byte Taken;

    /// <summary>With a record of requests in flight. Packed: the list's first entry there. Split: 1 when the chain was taken again for a predecessor, else 0.</summary>
    public ushort Entry;

    private fixed ulong _inline[InlineBuffers * 2];

    /// <summary>Takes the slot into use, before anything else is stored in it.</summary>
    public static void Open(ChainSlot* slot)
    {
        slot->Chunk = -1;
        slot->Taken = 1;
    }

    /// <summary>Takes the slot into use as a chain of one ring descriptor and one buffer.</summary>
    public static void SetOnly(ChainSlot* slot, byte* host, uint lengthBytes, bool writable, ushort head)
    {
        Open(slot);
        var buffer = (GuestBuffer*)slot->_inline;
        buffer->Host = host;
        buffer->LengthBytes = lengthBytes;
        slot->Buffers = buffer;
        slot->ReadableBytes = writable ? 0 : lengthBytes;
        slot->WritableBytes = writable ? lengthBytes : 0;
        slot->ReadableCount = (ushort)(writable ? 0 : 1);
        slot->WritableCount = (ushort)(writable ? 1 : 0);
        slot->Head = head;
        slot->RingDescriptors = 1;
    }

    /// <summary>Makes the slot an empty chain.</summary>
    public static void Reset(ChainSlot* slot)
    {
        slot->Buffers = (GuestBuffer*)slot->_inline;
        slot->ReadableBytes = 0;
        slot->WritableBytes = 0;
        slot->ReadableCount = 0;
        slot->WritableCount = 0;
    }
}
