using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Bench;

/// <summary>What one queue pair is loaded with.</summary>
internal sealed record NetLoadOptions
{
    /// <summary>Number of the pair.</summary>
    public required int Pair { get; init; }

    /// <summary>Loop, receive or transmit.</summary>
    public required NetMode Mode { get; init; }

    /// <summary>Bytes of each frame, from the destination address to the end of the payload.</summary>
    public required int FrameBytes { get; init; }

    /// <summary>Frames sent and taken per turn.</summary>
    public required int Burst { get; init; }

    /// <summary>MRG_RXBUF is negotiated.</summary>
    public required bool Mergeable { get; init; }

    /// <summary>Number every frame, check every byte that comes back.</summary>
    public required bool Verify { get; init; }

    /// <summary>Kick of the receive queue.</summary>
    public required EventFd ReceiveKick { get; init; }

    /// <summary>Call of the receive queue.</summary>
    public required EventFd ReceiveCall { get; init; }

    /// <summary>Kick of the transmit queue.</summary>
    public required EventFd TransmitKick { get; init; }

    /// <summary>Call of the transmit queue.</summary>
    public required EventFd TransmitCall { get; init; }
}
