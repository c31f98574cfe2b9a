using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>The control queue (virtio 1.2 §5.1.6.5): takes commands one after the other and answers each with one byte.</summary>
/// <remarks>Worker thread only. A command without room for its answer breaks the queue, after the driver got its buffer back (threats N5).</remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class ControlQueue<TRing> : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    /// <summary>Commands of one turn: drivers send one at a time.</summary>
    private const int Burst = 4;

    private const byte Ok = 0, Error = 1; // VIRTIO_NET_OK, VIRTIO_NET_ERR

    private readonly Virtqueue<TRing> _queue;
    private readonly NetControl _control;
    private readonly ulong _features;

    public ControlQueue(QueueConfig config, GuestMemory memory, NetControl control)
    {
        _queue = new Virtqueue<TRing>(config, memory);
        _control = control;
        _features = config.Features;
        control.Begin(config);
    }

    /// <inheritdoc/>
    public Virtqueue Queue => _queue;

    /// <inheritdoc/>
    public bool RunBatch()
    {
        int commands = Math.Min(_queue.Fill(Burst), Burst);
        int served = 0;
        while (served < commands && _queue.Fault == ChainFault.None)
        {
            Serve(_queue.Peek(served++));
        }

        _queue.Consume(served);
        _queue.Publish();
        return served != 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _control.End();
        _queue.Dispose();
    }

    private void Serve(Chain chain)
    {
        if (chain.WritableBytes == 0)
        {
            _queue.Complete(chain.Token, 0);
            _queue.Break(ChainFault.NoRoomForStatus);
            return;
        }

        chain.Writable.TryWrite(0, _control.TryExecute(chain.Readable, _features) ? Ok : Error);
        _queue.Complete(chain.Token, sizeof(byte));
    }
}
