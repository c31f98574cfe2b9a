using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>A receive queue that nothing ever arrives on. It leaves its buffers in the ring and never asks for a kick.</summary>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class IdleReceive<TRing> : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    private readonly Virtqueue<TRing> _queue;

    public IdleReceive(QueueConfig config, GuestMemory memory)
    {
        _queue = new Virtqueue<TRing>(config, memory);
        _queue.Disarm();
    }

    /// <inheritdoc/>
    public Virtqueue Queue => _queue;

    /// <inheritdoc/>
    public bool RunBatch() => false;

    /// <inheritdoc/>
    public bool TryArm() => true;

    /// <inheritdoc/>
    public void Dispose() => _queue.Dispose();
}
