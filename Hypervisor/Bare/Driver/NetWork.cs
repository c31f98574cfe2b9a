using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>What the guest does with its network device: sends numbered frames and compares what comes back.</summary>
internal sealed record NetWork
{
    /// <summary>Buffers in each direction, and size of both queues.</summary>
    public const int Slots = 256;

    /// <summary>Frames under way at most: half of the buffers, so that the device always finds one to put a frame into.</summary>
    public const int Window = Slots / 2;

    /// <summary>Bytes of the header before each frame, <c>struct virtio_net_hdr</c> of virtio 1.</summary>
    public const int HeaderBytes = 12;

    /// <summary>Offset of the sequence number in a frame.</summary>
    public const int SequenceOffset = 16;

    /// <summary>Offset of the pattern in a frame.</summary>
    public const int PatternOffset = 24;

    private readonly int _frameBytes = 1514;

    /// <summary>Ring format.</summary>
    public RingFormat Format { get; init; } = RingFormat.Split;

    /// <summary>Bytes of a frame, 60 to 1514.</summary>
    public int FrameBytes
    {
        get => _frameBytes;
        init
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 60);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, 1514);
            _frameBytes = value;
        }
    }
}
