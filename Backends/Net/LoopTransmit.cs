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
    private const int Burst = 64;

    private readonly Virtqueue<TRing> _queue;
    private readonly QueuePair _pair;
    private readonly HeaderRules _rules;
    private readonly uint[] _lengths = new uint[Burst];

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
        if (_pair.Receive is not LoopReceive<TRing> { Queue.Enabled: true } receiver || !_pair.TryBeginReceive())
        {
            return DropAll(frames);
        }

        bool moved = Move(receiver, frames);
        _pair.EndReceive();
        return moved;
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
        ChainWindow chains = _queue.Chains;
        for (int i = 0; i < frames; i++)
        {
            chains.OnlyReadable(i).Prefetch();
        }

        // No prefetch of the targets: it would fetch their lines for reading, and the stores would then have to ask for them once more.
        target.Prepare(frames);
        uint maxFrameBytes = _pair.Link.MaxFrameBytes(_rules.LimitsToMtu);
        int moved = 0;
        do
        {
            moved += MovePlain(target, moved, frames, maxFrameBytes);
        }
        while (moved < frames && TryMoveOther(receiver, moved, maxFrameBytes) && ++moved < frames);

        // Room may have been made by returning useless buffers, even where no frame moved.
        _queue.Consume(moved);
        target.Publish();
        _queue.Publish();
        _pair.WaitsForRoom = moved < frames;
        return moved != 0;
    }

    /// <summary>Moves frames that are complete as they stand, each into one buffer, up to the first that is not or that has no such buffer.</summary>
    /// <returns>Frames moved.</returns>
    private int MovePlain(ReceiveWindow<TRing> target, int first, int end, uint maxFrameBytes)
    {
        uint headerBytes = (uint)target.HeaderBytes;
        ChainWindow sources = _queue.Chains, buffers = target.Queue.Chains;
        Span<uint> lengths = _lengths;
        int used = target.Used, room = Math.Min(target.Prepared, end - first), count = 0;
        for (; count < room; count++)
        {
            GuestSlice source = sources.OnlyReadable(first + count), buffer = buffers.OnlyWritable(used + count);
            if (!_rules.IsPlain(source, maxFrameBytes) || buffer.LengthBytes < source.LengthBytes)
            {
                break;
            }

            lengths[count] = source.LengthBytes;
            source.CopyTo(buffer, headerBytes);
        }

        if (count != 0)
        {
            target.CompleteRun(_lengths.AsSpan(0, count));
            _queue.CompleteRun(first, count, []);
        }

        return count;
    }

    /// <summary>Frames that ask for something, those that are not to be delivered at all, and those that find no buffer of their size.</summary>
    /// <returns>False when the frame has to wait for room.</returns>
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
