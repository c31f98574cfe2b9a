using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Bench;

/// <summary>What one block queue is loaded with.</summary>
internal sealed record BlockLoadOptions
{
    /// <summary>Requests under way at once.</summary>
    public required int Depth { get; init; }

    /// <summary>Bytes of each request, a multiple of 512.</summary>
    public required uint BlockBytes { get; init; }

    /// <summary>Share of reads in per cent: 100 reads only, 0 writes only.</summary>
    public required int ReadPercent { get; init; }

    /// <summary>Blocks in random order; else one after the other.</summary>
    public required bool Random { get; init; }

    /// <summary>First block of this queue's part of the disk, in units of <see cref="BlockBytes"/>.</summary>
    public required ulong FirstBlock { get; init; }

    /// <summary>Blocks of this queue's part.</summary>
    public required ulong BlockCount { get; init; }

    /// <summary>Each request through an indirect table.</summary>
    public required bool Indirect { get; init; }

    /// <summary>Fill the part with patterns first, check every read against what was written, and read all of it again at the end.</summary>
    public required bool Verify { get; init; }

    /// <summary>Seed of patterns and offsets.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Name for messages: <c>queue 0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Tells the device of new requests.</summary>
    public required EventFd Kick { get; init; }

    /// <summary>Signalled by the device; <see cref="LoadThread"/> sleeps on it.</summary>
    public required EventFd Call { get; init; }
}
