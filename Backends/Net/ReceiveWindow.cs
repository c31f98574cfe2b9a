using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>The receive side of frame delivery: finds buffers for one frame after the other and fills them by the rules of virtio 1.2 §5.1.6.4.</summary>
/// <remarks>Worker thread only. A turn is: <see cref="Fill"/>, any number of frames, <see cref="Publish"/>. Chains that no frame needed stay in the queue's window.</remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class ReceiveWindow<TRing> : IDisposable
    where TRing : struct, IRing<TRing>
{
    /// <summary>Bursts after which buffers whose headers all had to be written are looked at again: a look costs such a driver a transfer of the line.</summary>
    private const int BlindBursts = 64;

    private readonly Virtqueue<TRing> _queue;
    private readonly bool _mergeable;
    private int _used; // chains at the head of the window that are completed and not yet consumed
    private int _count; // chains in the window
    private int _prepared; // chains at the head of the window that hold a plain frame's header already
    private int _blindBursts; // bursts for which headers are written without a look

    public ReceiveWindow(QueueConfig config, GuestMemory memory)
    {
        _queue = new Virtqueue<TRing>(config, memory);
        _mergeable = config.Has(NetFeatures.MrgRxBuf);
        HeaderBytes = HeaderRules.HeaderBytesOf(config.Features);
    }

    /// <summary>The queue, for orders.</summary>
    public Virtqueue<TRing> Queue => _queue;

    /// <summary>Length of the header before each frame.</summary>
    public int HeaderBytes { get; }

    /// <summary>Chains at the head of the queue's window that are completed already.</summary>
    public int Used => _used;

    /// <summary>Chains at hand.</summary>
    public int Available => _count - _used;

    /// <summary>Tops the window up.</summary>
    /// <returns>Chains at hand; more may come when they are used up.</returns>
    public int Fill(int wanted)
    {
        _count = _queue.Fill(wanted);
        return _count;
    }

    /// <summary>Tops the window up and sees to it that a plain frame's header is in every chain of it.</summary>
    /// <remarks>
    /// The driver read these lines last, on another core, and each has to be asked for before it can be written. Stores that follow each other closely wait for
    /// their lines together; between the stores of a copy they would wait one after the other. Best done well before the frames come. A driver that uses its
    /// buffers again leaves the last frame's header there, which nearly always is the same: what need not be written need not be asked for.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Prepare(int wanted)
    {
        if (_queue.Window < _prepared)
        {
            _prepared = 0; // the queue gave its window back since the last turn
        }

        int count = Fill(wanted), fresh = count - _prepared;
        if (fresh <= 0)
        {
            return;
        }

        ChainWindow chains = _queue.Chains;
        if (_blindBursts == 0)
        {
            int written = 0;
            for (int i = _prepared; i < count; i++)
            {
                written += CompletePlainHeader(chains.OnlyWritable(i));
            }

            _blindBursts = written * 4 > fresh ? BlindBursts : 0;
        }
        else
        {
            _blindBursts--;
            for (int i = _prepared; i < count; i++)
            {
                WritePlainHeader(chains.OnlyWritable(i));
            }
        }

        _prepared = count;
    }

    /// <summary>The next chain, with a plain frame's header in it, when all of <paramref name="neededBytes"/> (header and frame) fit into its one piece of memory: what nearly always happens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryNext(uint neededBytes, out Chain chain)
    {
        if (_used < _prepared)
        {
            chain = _queue.Peek(_used);
            return _queue.Chains.OnlyWritable(_used).LengthBytes >= neededBytes;
        }

        chain = default;
        return false;
    }

    /// <summary>Completes the chain of <see cref="TryNext"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Complete(Chain chain, uint writtenBytes)
    {
        _queue.Complete(chain.Token, writtenBytes);
        _used++;
    }

    /// <summary>Prepared chains at hand.</summary>
    public int Prepared => _prepared - _used;

    /// <summary>Completes as many of the next chains as there are lengths.</summary>
    public void CompleteRun(ReadOnlySpan<uint> writtenBytes)
    {
        _queue.CompleteRun(_used, writtenBytes.Length, writtenBytes);
        _used += writtenBytes.Length;
    }

    /// <summary>Looks for as many chains as <paramref name="neededBytes"/> (header and frame) need. Takes none of them.</summary>
    /// <remarks>Chains without room for a header can never carry a frame: those before the frame's first go back with length 0 (threats N4).</remarks>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public Room Reserve(uint neededBytes, out int chains)
    {
        chains = 0;
        ulong room = 0;
        while (true)
        {
            if (_used + chains == _count)
            {
                Consume();
                if (Fill(Virtqueue<TRing>.WindowSize) <= chains)
                {
                    return chains != 0 && _queue.IsWindowFinal() ? Room.Never : Room.Wait;
                }
            }

            Chain chain = _queue.Peek(_used + chains);
            if (chains == 0 && chain.WritableBytes < (uint)HeaderBytes)
            {
                Complete(chain, 0);
                continue;
            }

            room += chain.WritableBytes;
            chains++;
            if (room >= neededBytes)
            {
                return Room.Ready;
            }

            if (!_mergeable)
            {
                return Room.Never;
            }
        }
    }

    /// <summary>Room for data in chain <paramref name="index"/>, counted from the next one.</summary>
    public BufferList this[int index] => _queue.Peek(_used + index).Writable;

    /// <summary>Copies a piece of a frame to where it belongs in the chains that <see cref="Reserve"/> found.</summary>
    /// <param name="from">Source.</param>
    /// <param name="fromOffset">First byte in the source.</param>
    /// <param name="toOffset">First byte in the chains, counted from the header's first.</param>
    /// <param name="lengthBytes">Length in bytes; both ranges are inside.</param>
    public void Copy(BufferList from, uint fromOffset, uint toOffset, uint lengthBytes)
    {
        for (int i = 0; lengthBytes != 0; i++)
        {
            BufferList target = this[i];
            if (toOffset >= target.LengthBytes)
            {
                toOffset -= target.LengthBytes;
                continue;
            }

            uint now = Math.Min(lengthBytes, target.LengthBytes - toOffset);
            BufferList.Copy(from, fromOffset, target, toOffset, now);
            fromOffset += now;
            lengthBytes -= now;
            toOffset = 0;
        }
    }

    /// <summary>Copies bytes that are not a driver's to where they belong in the chains that <see cref="Reserve"/> found.</summary>
    public void Copy(ReadOnlySpan<byte> from, uint toOffset)
    {
        for (int i = 0; !from.IsEmpty; i++)
        {
            BufferList target = this[i];
            if (toOffset >= target.LengthBytes)
            {
                toOffset -= target.LengthBytes;
                continue;
            }

            from = from[target.CopyFrom(toOffset, from)..];
            toOffset = 0;
        }
    }

    /// <summary>Writes the header at the beginning of the next chain.</summary>
    public void WriteHeader(BufferList target, NetHeader header)
    {
        bool written = HeaderBytes == NetHeader.SizeBytes ? target.TryWrite(0, header) : target.TryWrite(0, new LegacyNetHeader(header));
        System.Diagnostics.Debug.Assert(written, "a chain that was reserved has room for a header");
    }

    /// <summary>Completes the chains of a frame: all but the last are full.</summary>
    public void CompleteFrame(int chains, uint writtenBytes)
    {
        for (int i = 0; i < chains; i++)
        {
            Chain chain = _queue.Peek(_used);
            uint now = Math.Min(writtenBytes, chain.WritableBytes);
            Complete(chain, now);
            writtenBytes -= now;
        }
    }

    /// <summary>Shows the driver all frames of this turn at once.</summary>
    public void Publish()
    {
        Consume();
        _queue.Publish();
    }

    /// <inheritdoc/>
    public void Dispose() => _queue.Dispose();

    /// <summary>Writes <see cref="NetHeader.Plain"/> where it does not stand already. A chain that has no room for it in one piece stays as it is.</summary>
    /// <returns>1 when something was written, else 0.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int CompletePlainHeader(GuestSlice target)
    {
        const uint OneBuffer = 1 << 16; // the upper half of the header's last word
        if (HeaderBytes == NetHeader.SizeBytes && target.LengthBytes >= NetHeader.SizeBytes && target.Read<HeaderWords>() is { Low: 0, High: OneBuffer })
        {
            return 0;
        }

        WritePlainHeader(target);
        return 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void WritePlainHeader(GuestSlice target) =>
        _ = HeaderBytes == NetHeader.SizeBytes ? target.TryWrite(NetHeader.Plain) : target.TryWrite(default(LegacyNetHeader));

    private void Consume()
    {
        _queue.Consume(_used);
        _count -= _used;
        _prepared = Math.Max(0, _prepared - _used);
        _used = 0;
    }

    /// <summary>The 12 bytes of a header in two words, as they are compared.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    private readonly struct HeaderWords
    {
        public readonly ulong Low;
        public readonly uint High;
    }
}
