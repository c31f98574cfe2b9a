using System.Runtime.InteropServices;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>A transmit queue whose frames go to a TAP, straight from guest memory, one system call each.</summary>
/// <remarks>
/// Worker thread only. What the kernel does not take at once (queue full, interface down) is dropped and counted, as on any NIC: a worker never
/// waits and never spins for the host's network.
/// </remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class TapTransmit<TRing> : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    private const int Burst = 32;

    private readonly Virtqueue<TRing> _queue;
    private readonly QueuePair _pair;
    private readonly TapQueue _tap;
    private readonly HeaderRules _rules;

    public TapTransmit(QueueConfig config, GuestMemory memory, QueuePair pair, TapQueue tap)
    {
        _queue = new Virtqueue<TRing>(config, memory);
        _pair = pair;
        _tap = tap;
        _rules = new HeaderRules(config.Features);

        // Not only the receive queue: drivers may start this one alone. Where the interface is gone each send says so.
        tap.TrySetHeaderBytes(_rules.HeaderBytes);
    }

    /// <inheritdoc/>
    public Virtqueue Queue => _queue;

    /// <inheritdoc/>
    public bool RunBatch()
    {
        int frames = Math.Min(_queue.Fill(Burst), Burst);
        uint maxFrameBytes = _pair.Link.MaxFrameBytes(_rules.LimitsToMtu);
        for (int i = 0; i < frames; i++)
        {
            _queue.Peek(i).Readable.Prefetch();
        }

        for (int i = 0; i < frames; i++)
        {
            Chain chain = _queue.Peek(i);
            Drop drop = Send(chain.Readable, maxFrameBytes);
            if (drop != Drop.None)
            {
                _pair.Drops.Count(drop);
            }

            _queue.Complete(chain.Token, 0);
        }

        _queue.Consume(frames);
        _queue.Publish();
        return frames != 0;
    }

    /// <inheritdoc/>
    public bool RunDisabled()
    {
        int frames = Math.Min(_queue.Fill(Burst), Burst);
        for (int i = 0; i < frames; i++)
        {
            _pair.Drops.Count(Drop.Disabled);
            _queue.Complete(_queue.Peek(i).Token, 0);
        }

        _queue.Consume(frames);
        _queue.Publish();
        return frames != 0;
    }

    /// <inheritdoc/>
    public void Dispose() => _queue.Dispose();

    private Drop Send(BufferList chain, uint maxFrameBytes)
    {
        Drop drop = _rules.Read(chain, maxFrameBytes, out NetHeader header);
        if (drop != Drop.None)
        {
            return drop;
        }

        // The kernel gets the checked copy, never the header that the guest can still change.
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<NetHeader>(in header))[.._rules.HeaderBytes];
        return _tap.TrySend(bytes, chain) ? Drop.None : Drop.Refused;
    }
}
