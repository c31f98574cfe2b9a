using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Bench;

/// <summary>What <c>bench net</c> and the demo ask of a network device.</summary>
internal sealed record NetBenchSettings
{
    /// <summary>Number of queue pairs.</summary>
    public int QueuePairs { get; init; } = 1;

    /// <summary>Loop, receive or transmit.</summary>
    public NetMode Mode { get; init; }

    /// <summary>Bytes of each frame, without its check sequence.</summary>
    public int FrameBytes { get; init; } = 64;

    /// <summary>Frames sent and taken per turn.</summary>
    public int Burst { get; init; } = 32;

    /// <summary>Ring format.</summary>
    public RingFormat Format { get; init; }

    /// <summary>Negotiate EVENT_IDX.</summary>
    public bool EventIndex { get; init; } = true;

    /// <summary>Negotiate MRG_RXBUF.</summary>
    public bool Mergeable { get; init; } = true;

    /// <summary>Negotiate IN_ORDER.</summary>
    public bool InOrder { get; init; }

    /// <summary>Queue size in descriptors.</summary>
    public int QueueSize { get; init; } = 256;

    /// <summary>Number every frame and check every byte.</summary>
    public bool Verify { get; init; }

    /// <summary>Guest memory of huge pages.</summary>
    public bool HugePages { get; init; }
}
