using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>The receive queue of a looped pair: filled by <see cref="LoopTransmit{TRing}"/>, so that it has no turns of its own.</summary>
/// <remarks>Worker thread only. Its kick is armed only while a frame waits for room: a driver that refills its buffers need not tell anybody.</remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class LoopReceive<TRing> : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    private readonly QueuePair _pair;

    public LoopReceive(QueueConfig config, GuestMemory memory, QueuePair pair)
    {
        Window = new ReceiveWindow<TRing>(config, memory);
        TakesPartialChecksum = config.Has(NetFeatures.GuestCsum);
        _pair = pair;
        pair.Receive = this;
        Window.Queue.Disarm();
    }

    /// <inheritdoc/>
    public Virtqueue Queue => Window.Queue;

    /// <summary>Where frames go.</summary>
    public ReceiveWindow<TRing> Window { get; }

    /// <summary>The driver completes checksums itself where the sender left them open.</summary>
    public bool TakesPartialChecksum { get; }

    /// <inheritdoc/>
    public int WakeDescriptor => _pair.WakeDescriptor;

    /// <inheritdoc/>
    public bool RunBatch()
    {
        _pair.TakeWake();
        return false;
    }

    /// <inheritdoc/>
    public bool TryArm() => !_pair.WaitsForRoom || Queue.TryArmForMore();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_pair.Receive == this)
        {
            _pair.Receive = null;
        }

        Window.Dispose();
    }
}
