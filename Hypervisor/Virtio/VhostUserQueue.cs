using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <summary>One queue that the driver has started: where it lies, and where it goes on. Device thread.</summary>
/// <param name="config">Checked; with the position at which the driver's session began.</param>
/// <param name="ring">The back-end's number of it.</param>
/// <param name="address">Its areas in the front-end's addresses.</param>
/// <param name="kick">Signalled by the driver.</param>
internal sealed class VhostUserQueue(QueueConfig config, int ring, VringAddress address, EventFd kick)
{
    /// <summary>Size, format and areas.</summary>
    public QueueConfig Config { get; } = config;

    /// <summary>The back-end's number of it.</summary>
    public int Ring { get; } = ring;

    /// <summary>Its areas in the front-end's addresses.</summary>
    public VringAddress Address { get; } = address;

    /// <summary>Signalled by the driver. Owned by the device.</summary>
    public EventFd Kick { get; } = kick;

    /// <summary>Signalled by the back-end for used buffers, or null. Owned by the transport.</summary>
    public EventFd? Call { get; set; }

    /// <summary>Where the back-end starts it next; null: not known, since a back-end that ran it has died.</summary>
    public QueueState? Position { get; set; } = config.State;

    /// <summary>Where it was started last.</summary>
    public QueueState Begun { get; set; } = config.State;

    /// <summary>The back-end was told to start it and not to stop it.</summary>
    public bool IsRunning { get; set; }
}
