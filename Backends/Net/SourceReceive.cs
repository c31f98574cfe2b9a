using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>A receive queue that generated frames arrive on, as many as the driver makes room for.</summary>
/// <remarks>Worker thread only. Frames that do not fit into a driver's buffers are not generated; the queue then waits for others.</remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class SourceReceive<TRing> : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    private const int Burst = 32;

    private readonly ReceiveWindow<TRing> _window;
    private readonly QueuePair _pair;
    private readonly TestFrame _frame;
    private readonly uint _neededBytes;
    private bool _stuck; // the oldest buffers can never hold a frame, so that no kick ends the wait

    public SourceReceive(QueueConfig config, GuestMemory memory, QueuePair pair, TestFrame frame)
    {
        _window = new ReceiveWindow<TRing>(config, memory);
        _pair = pair;
        _frame = frame;
        _neededBytes = (uint)(_window.HeaderBytes + frame.Bytes.Length);
    }

    /// <inheritdoc/>
    public Virtqueue Queue => _window.Queue;

    /// <inheritdoc/>
    public int WakeDescriptor => _pair.WakeDescriptor;

    /// <inheritdoc/>
    public bool RunBatch()
    {
        _pair.TakeWake();
        if (!_pair.TryBeginReceive())
        {
            return false;
        }

        _window.Prepare(Burst);
        int frames = 0;
        while (frames < Burst && TryGenerate())
        {
            frames++;
        }

        _window.Publish();
        _pair.EndReceive();
        return frames != 0;
    }

    /// <inheritdoc/>
    public bool TryArm() => _stuck || !Queue.Enabled || !_pair.IsOn || Queue.TryArmForMore();

    /// <inheritdoc/>
    public void Dispose() => _window.Dispose();

    private bool TryGenerate()
    {
        uint headerBytes = (uint)_window.HeaderBytes;
        if (_window.TryNext(_neededBytes, out Chain room))
        {
            room.Writable.CopyFrom(headerBytes, _frame.Bytes);
            _window.Complete(room, _neededBytes);
        }
        else
        {
            Room merged = _window.Reserve(_neededBytes, out int chains);
            _stuck = merged == Room.Never;
            if (merged != Room.Ready)
            {
                return false;
            }

            _window.WriteHeader(_window[0], NetHeader.Plain.WithBuffers(chains));
            _window.Copy(_frame.Bytes, headerBytes);
            _window.CompleteFrame(chains, _neededBytes);
        }

        _frame.Sequence++;
        return true;
    }
}
