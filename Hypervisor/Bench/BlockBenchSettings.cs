using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Bench;

/// <summary>What <c>bench blk</c> and the demo ask of a block device.</summary>
internal sealed record BlockBenchSettings
{
    /// <summary>Part of the disk that is verified when nothing else is said.</summary>
    public const ulong DefaultVerifiedBytes = 64 << 20;

    /// <summary>Number of queues.</summary>
    public int Queues { get; init; } = 1;

    /// <summary>Requests under way on each queue.</summary>
    public int Depth { get; init; } = 32;

    /// <summary>Bytes of each request.</summary>
    public uint BlockBytes { get; init; } = 4096;

    /// <summary>Share of reads in per cent.</summary>
    public int ReadPercent { get; init; } = 100;

    /// <summary>Blocks in random order.</summary>
    public bool Random { get; init; } = true;

    /// <summary>Ring format.</summary>
    public RingFormat Format { get; init; }

    /// <summary>Negotiate EVENT_IDX.</summary>
    public bool EventIndex { get; init; } = true;

    /// <summary>Negotiate INDIRECT_DESC and use it for every request.</summary>
    public bool Indirect { get; init; } = true;

    /// <summary>Queue size in descriptors.</summary>
    public int QueueSize { get; init; } = 128;

    /// <summary>Write patterns, check every read.</summary>
    public bool Verify { get; init; }

    /// <summary>Bytes of the disk to use; null: all, or the first <see cref="DefaultVerifiedBytes"/> with <see cref="Verify"/>.</summary>
    public ulong? AreaBytes { get; init; }

    /// <summary>Seed of patterns and offsets.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Guest memory of huge pages.</summary>
    public bool HugePages { get; init; }

    /// <summary>The smallest legal queue size for a depth: what QEMU would give, or more when that is too small.</summary>
    public static int QueueSizeFor(int depth, bool indirect)
    {
        const int Usual = 128;
        int needed = indirect ? depth : depth * 3;
        return Math.Max(Usual, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)needed));
    }
}
