using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>A transmit queue that swallows frames unseen.</summary>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class DropTransmit<TRing>(QueueConfig config, GuestMemory memory) : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    private readonly Virtqueue<TRing> _queue = new(config, memory);

    /// <inheritdoc/>
    public Virtqueue Queue => _queue;

    /// <inheritdoc/>
    public bool RunBatch()
    {
        int frames = _queue.Fill(Virtqueue<TRing>.WindowSize);
        for (int i = 0; i < frames; i++)
        {
            _queue.Complete(_queue.Peek(i).Token, 0);
        }

        _queue.Consume(frames);
        _queue.Publish();
        return frames != 0;
    }

    /// <inheritdoc/>
    public bool RunDisabled() => RunBatch();

    /// <inheritdoc/>
    public void Dispose() => _queue.Dispose();
}
