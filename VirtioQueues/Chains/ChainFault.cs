namespace Paravane.VirtioQueues.Chains;

/// <summary>Why a ring is broken: the rule its driver violated. Latched; heals when the ring is stopped and started again.</summary>
public enum ChainFault : byte
{
    /// <summary>All is well.</summary>
    None,

    /// <summary>The available index is further ahead than the ring is long, or moved back (R1).</summary>
    AvailIndexOutOfRange,

    /// <summary>A head index is outside the descriptor table (R2).</summary>
    HeadOutOfRange,

    /// <summary>A next index is outside the table it refers to (R2).</summary>
    NextOutOfRange,

    /// <summary>A chain is longer than the ring, which a loop always becomes (R3, R4).</summary>
    ChainTooLong,

    /// <summary>The buffers of a chain add up to 2^32 bytes or more (R4).</summary>
    TotalTooLong,

    /// <summary>A readable descriptor follows a writable one (R5).</summary>
    ReadableAfterWritable,

    /// <summary>An indirect table has length 0, no multiple of 16, or more entries than 1024 and the ring size (R6).</summary>
    IndirectLength,

    /// <summary>An indirect descriptor inside an indirect table (R6).</summary>
    IndirectNested,

    /// <summary>INDIRECT together with NEXT, or an indirect descriptor in a packed list (R6).</summary>
    IndirectWithNext,

    /// <summary>INDIRECT without the feature (R6).</summary>
    IndirectNotNegotiated,

    /// <summary>An indirect table outside guest memory (R6).</summary>
    IndirectUnmapped,

    /// <summary>A buffer outside guest memory (A6, A7).</summary>
    BufferUnmapped,

    /// <summary>A head (split) or buffer id (packed) that is in flight was offered again (R8).</summary>
    HeadInFlight,

    /// <summary>More descriptors in flight than the ring has (R13).</summary>
    TooManyInFlight,

    /// <summary>A request without room for its answer, where the device type demands it (B1, N5).</summary>
    NoRoomForStatus,

    /// <summary>The driver kicked a ring whose memory was removed (A5).</summary>
    RingUnmapped,

    /// <summary>A write to guest memory could not be recorded in the dirty log (M17).</summary>
    DirtyLogTooSmall,

    /// <summary>The record of requests in flight contradicts itself or the ring (I2).</summary>
    InflightRecord,
}
