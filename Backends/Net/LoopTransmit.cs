using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>The transmit queue of a looped pair: each frame comes back on the pair's receive queue, by one copy from buffer to buffer.</summary>
/// <remarks>
/// Worker thread only. The wire is lossless: a frame that finds no receive buffer stays in the transmit ring, and the receive queue's kick
/// (not this one's) ends the wait. A burst is walked in passes, so that its cache misses are under way together.
/// </remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class LoopTransmit<TRing> : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    /// <summary>Frames of one turn: enough misses to overlap, and the chains of both sides with their buffers still fit the first cache.</summary>
    private const int Burst = 32;

    private readonly Virtqueue<TRing> _queue;
    private readonly QueuePair _pair;
    private readonly HeaderRules _rules;
    private readonly NetHeader[] _headers = new NetHeader[Burst];
    private readonly Drop[] _verdicts = new Drop[Burst];

    public LoopTransmit(QueueConfig config, GuestMemory memory, QueuePair pair)
    {
        _queue = new Virtqueue<TRing>(config, memory);
        _pair = pair;
        _rules = new HeaderRules(config.Features);
    }

    /// <inheritdoc/>
    public Virtqueue Queue => _queue;

    /// <inheritdoc/>
    public bool RunBatch()
    {
        _pair.WaitsForRoom = false;
        int frames = Math.Min(_queue.Fill(Burst), Burst);
        if (frames == 0)
        {
            return false;
        }

        // A wire whose other end is not plugged in loses frames, as any wire does.
        return _pair.Receive is LoopReceive<TRing> { Queue.Enabled: true } receiver ? Move(receiver, frames) : DropAll(frames);
    }

    /// <inheritdoc/>
    public bool RunDisabled() => DropAll(Math.Min(_queue.Fill(Burst), Burst));

    /// <inheritdoc/>
    public bool TryArm() => _pair.WaitsForRoom || _queue.TryArm();

    /// <inheritdoc/>
    public void Dispose()
    {
        _pair.WaitsForRoom = false;
        _queue.Dispose();
    }

    private bool Move(LoopReceive<TRing> receiver, int frames)
    {
        ReceiveWindow<TRing> target = receiver.Window;
        for (int i = 0; i < frames; i++)
        {
            BufferList frame = _queue.Peek(i).Readable;
            frame.Prefetch();
            frame.Prefetch(64);
        }

        target.Fill(frames);
        target.Prefetch(frames);
        Inspect(frames);

        int moved = 0;
        while (moved < frames && TryMove(receiver, moved))
        {
            moved++;
        }

        // Room may have been made by returning useless buffers, even where no frame moved.
        _queue.Consume(moved);
        target.Publish();
        _queue.Publish();
        _pair.WaitsForRoom = moved < frames;
        return moved != 0;
    }

    private void Inspect(int frames)
    {
        uint maxFrameBytes = _pair.Link.MaxFrameBytes(_rules.LimitsToMtu);
        for (int i = 0; i < frames; i++)
        {
            _verdicts[i] = _rules.Read(_queue.Peek(i).Readable, maxFrameBytes, out _headers[i]);
        }
    }

    /// <returns>False when the frame has to wait for room.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryMove(LoopReceive<TRing> receiver, int index)
    {
        Chain chain = _queue.Peek(index);
        if (_verdicts[index] != Drop.None)
        {
            _pair.Drops.Count(_verdicts[index]);
            _queue.Complete(chain.Token, 0);
            return true;
        }

        ReceiveWindow<TRing> target = receiver.Window;
        BufferList source = chain.Readable;
        if (_headers[index].Flags != NetHeaderFlags.None || !target.TryNext(source.LengthBytes, out Chain room))
        {
            return TryMoveSlowly(receiver, index);
        }

        // Header and first payload bytes back to back: stores to one line share its transfer.
        uint headerBytes = (uint)target.HeaderBytes;
        BufferList buffer = room.Writable;
        target.WriteHeader(buffer, NetHeader.Plain);
        BufferList.Copy(source, headerBytes, buffer, headerBytes, source.LengthBytes - headerBytes);
        target.Complete(room, source.LengthBytes);
        _queue.Complete(chain.Token, 0);
        return true;
    }

    /// <summary>Frames over several buffers, frames that offloads are due for, frames that nobody has room for.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryMoveSlowly(LoopReceive<TRing> receiver, int index)
    {
        Chain chain = _queue.Peek(index);
        BufferList source = chain.Readable;
        ReceiveWindow<TRing> target = receiver.Window;
        switch (target.Reserve(source.LengthBytes, out int chains))
        {
            case Room.Wait:
                return false;

            case Room.Never:
                _pair.Drops.Count(Drop.Overrun);
                break;

            case Room.Ready:
            default:
                Deliver(receiver, source, _headers[index], chains);
                break;
        }

        _queue.Complete(chain.Token, 0);
        return true;
    }

    private static void Deliver(LoopReceive<TRing> receiver, BufferList source, NetHeader header, int chains)
    {
        ReceiveWindow<TRing> target = receiver.Window;
        uint headerBytes = (uint)target.HeaderBytes, frameBytes = source.LengthBytes - headerBytes;
        bool completes = header.Flags != NetHeaderFlags.None && !receiver.TakesPartialChecksum;
        target.WriteHeader(target[0], completes ? NetHeader.Plain.WithBuffers(chains) : header.WithBuffers(chains));
        target.Copy(source, headerBytes, headerBytes, frameBytes);
        if (completes)
        {
            // The pseudo header's sum stands in the field already and is summed with the rest (virtio 1.2 §5.1.6.2).
            ushort checksum = InternetChecksum.Of(source, headerBytes + header.CsumStart, frameBytes - header.CsumStart);
            target.Copy(MemoryMarshal.AsBytes(new ReadOnlySpan<ushort>(in checksum)), headerBytes + header.CsumStart + header.CsumOffset);
        }

        target.CompleteFrame(chains, source.LengthBytes);
    }

    private bool DropAll(int frames)
    {
        for (int i = 0; i < frames; i++)
        {
            _pair.Drops.Count(Drop.Disabled);
            _queue.Complete(_queue.Peek(i).Token, 0);
        }

        _queue.Consume(frames);
        _queue.Publish();
        return frames != 0;
    }
}
