namespace Paravane.VirtioQueues;

/// <summary>What a device does with one started queue. Made by <see cref="IVirtioDevice.StartQueue"/>, driven by the worker that owns the queue.</summary>
/// <remarks>Worker thread only. Nothing here allocates, locks, logs, awaits or throws.</remarks>
public interface IQueueLoop : IDisposable
{
    /// <summary>The queue, for the worker's orders. Disposed by <see cref="IDisposable.Dispose"/> of the loop.</summary>
    Virtqueue Queue { get; }

    /// <summary>One bounded turn: new chains, finished I/O, one publication. Called only while the queue is enabled or has chains in flight.</summary>
    /// <returns>True when anything was done, so that another turn may find more.</returns>
    bool RunBatch();

    /// <summary>One bounded turn of a disabled queue: a network transmit queue drops frames and returns their buffers; others leave it.</summary>
    /// <returns>True when anything was done.</returns>
    bool RunDisabled() => false;

    /// <summary>Before sleeping: asks for whatever ends the idleness (a kick, room on another queue).</summary>
    /// <returns>False when there is something to do already.</returns>
    bool TryArm() => Queue.TryArm();

    /// <summary>After waking, while the worker polls again.</summary>
    void Disarm() => Queue.Disarm();

    /// <summary>A descriptor that wakes the sleeping worker besides the kick (a TAP, an io_uring), or −1. Asked after each successful <see cref="TryArm"/>.</summary>
    int WakeDescriptor => -1;

    /// <summary>The queue moved to another memory table (<see cref="Virtqueue.Memory"/>): renew registrations made for the old one.</summary>
    void OnMemoryChanged()
    {
    }
}
