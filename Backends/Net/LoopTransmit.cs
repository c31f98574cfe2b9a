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
    private readonly bool[] _isPlain = new bool[Burst];

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

        // No prefetch of the targets: it would fetch their lines for reading, and the stores would then have to ask for them once more.
        target.Fill(frames);
        uint maxFrameBytes = _pair.Link.MaxFrameBytes(_rules.LimitsToMtu);
        for (int i = 0; i < frames; i++)
        {
            _isPlain[i] = _rules.IsPlain(_queue.Peek(i).Readable, maxFrameBytes);
        }

        int moved = 0;
        while (moved < frames && (_isPlain[moved] ? TryMovePlain(receiver, moved) : TryMoveOther(receiver, moved, maxFrameBytes)))
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

    /// <returns>False when the frame has to wait for room.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryMovePlain(LoopReceive<TRing> receiver, int index)
    {
        Chain chain = _queue.Peek(index);
        BufferList source = chain.Readable;
        ReceiveWindow<TRing> target = receiver.Window;
        if (!target.TryNext(source.LengthBytes, out Chain room))
        {
            return TryMoveSlowly(receiver, chain, NetHeader.Plain);
        }

        // Header and first payload bytes back to back: stores to one line share its transfer.
        uint headerBytes = (uint)target.HeaderBytes;
        BufferList buffer = room.Writable;
        target.WritePlainHeader(buffer);
        BufferList.Copy(source, headerBytes, buffer, headerBytes, source.LengthBytes - headerBytes);
        target.Complete(room, source.LengthBytes);
        _queue.Complete(chain.Token, 0);
        return true;
    }

    /// <summary>Frames that ask for something, and those that are not to be delivered at all.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryMoveOther(LoopReceive<TRing> receiver, int index, uint maxFrameBytes)
    {
        Chain chain = _queue.Peek(index);
        Drop drop = _rules.Read(chain.Readable, maxFrameBytes, out NetHeader header);
        if (drop == Drop.None)
        {
            return TryMoveSlowly(receiver, chain, header);
        }

        _pair.Drops.Count(drop);
        _queue.Complete(chain.Token, 0);
        return true;
    }

    /// <summary>Frames over several buffers, frames that offloads are due for, frames that nobody has room for.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryMoveSlowly(LoopReceive<TRing> receiver, Chain chain, NetHeader header)
    {
        BufferList source = chain.Readable;
        switch (receiver.Window.Reserve(source.LengthBytes, out int chains))
        {
            case Room.Wait:
                return false;

            case Room.Never:
                _pair.Drops.Count(Drop.Overrun);
                break;

            case Room.Ready:
            default:
                Deliver(receiver, source, header, chains);
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
