using System.Numerics;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>What the guest does with its disk: writes and reads blocks of 4 KiB at random places, and compares what it reads.</summary>
internal sealed record DiskWork
{
    /// <summary>Bytes of a block.</summary>
    public const int BlockBytes = 4096;

    /// <summary>512-byte sectors of a block.</summary>
    public const int SectorsPerBlock = BlockBytes / 512;

    /// <summary>Requests under way, each with blocks of its own, so that none overtakes another on the same block.</summary>
    public const int Slots = 32;

    private readonly int _blocks = 16384;

    /// <summary>Ring format.</summary>
    public RingFormat Format { get; init; } = RingFormat.Split;

    /// <summary>Blocks that are used, a power of two, at least <see cref="Slots"/> and at most <see cref="DriverLayout.MaxBlocks"/>.</summary>
    public int Blocks
    {
        get => _blocks;
        init
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, Slots);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, DriverLayout.MaxBlocks);
            _blocks = BitOperations.IsPow2(value) ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "no power of two");
        }
    }

    /// <summary>Share of reads, as far as there is something to read.</summary>
    public int ReadPercent { get; init; } = 70;

    /// <summary>Seed of places and contents.</summary>
    public ulong Seed { get; init; } = 1;
}
