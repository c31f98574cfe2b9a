using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Tests.Bench;

/// <summary>The device side of one queue pair that sends each frame back, with one kind of fault at every hundredth frame.</summary>
internal sealed class TinyLoop<TRing> : IDisposable
    where TRing : struct, IRing<TRing>
{
    private const int FaultEvery = 100;
    private const int FramesBeforeLink = 3;
    private const int HeaderBytes = 12;

    private readonly Virtqueue<TRing> _receive;
    private readonly Virtqueue<TRing> _transmit;
    private readonly Queue<byte[]> _frames = new();
    private readonly LoopFault _fault;
    private int _count;
    private byte[]? _held;

    public TinyLoop(FrontendQueue receive, FrontendQueue transmit, GuestRam ram, LoopFault fault)
    {
        _receive = new Virtqueue<TRing>(receive.Ring.ToQueueConfig(), ram.Table) { Enabled = true };
        _transmit = new Virtqueue<TRing>(transmit.Ring.ToQueueConfig(), ram.Table) { Enabled = true };
        _fault = fault;
    }

    public bool Serve()
    {
        int sent = _transmit.Fill(Virtqueue<TRing>.WindowSize);
        for (int i = 0; i < sent; i++)
        {
            VirtioQueues.Chains.Chain chain = _transmit.Peek(0);
            byte[] frame = new byte[chain.Readable.LengthBytes - HeaderBytes];
            _ = chain.Readable.CopyTo(HeaderBytes, frame);
            _transmit.Consume(1);
            _transmit.Complete(chain.Token, 0);
            Take(frame);
        }

        _transmit.Publish();
        return (sent > 0) | Deliver();
    }

    public void Dispose()
    {
        _receive.Dispose();
        _transmit.Dispose();
    }

    private void Take(byte[] frame)
    {
        if (_fault == LoopFault.IsNotPluggedIn || (_fault == LoopFault.PlugsInLate && _count < FramesBeforeLink))
        {
            _count++;
            return;
        }

        LoopFault fault = ++_count % FaultEvery == 0 ? _fault : LoopFault.None;
        switch (fault)
        {
            case LoopFault.Loses:
                return;
            case LoopFault.Swaps:
                _held = frame;
                return;
            case LoopFault.FlipsABit:
                frame[^1] ^= 4;
                break;
            case LoopFault.Cuts:
                frame = frame[..^1];
                break;
            case LoopFault.Doubles:
                _frames.Enqueue(frame);
                break;
            default:
                break;
        }

        _frames.Enqueue(frame);
        if (_held is not null)
        {
            _frames.Enqueue(_held);
            _held = null;
        }
    }

    private bool Deliver()
    {
        bool any = false;
        while (_frames.TryPeek(out byte[]? frame))
        {
            int total = HeaderBytes + frame.Length;
            int chains = 0;
            uint room = 0;
            int available = _receive.Fill(Virtqueue<TRing>.WindowSize);
            while (room < total && chains < available)
            {
                room += _receive.Peek(chains++).Writable.LengthBytes;
            }

            if (room < total)
            {
                break;
            }

            byte[] whole = new byte[total];
            whole[0] = (byte)(_fault == LoopFault.SetsAFlag ? 1 : 0);
            whole[10] = (byte)chains;
            frame.CopyTo(whole, HeaderBytes);
            int offset = 0;
            for (int i = 0; i < chains; i++)
            {
                VirtioQueues.Chains.Chain chain = _receive.Peek(0);
                int copied = chain.Writable.CopyFrom(0, whole.AsSpan(offset));
                offset += copied;
                _receive.Consume(1);
                _receive.Complete(chain.Token, (uint)copied);
            }

            _ = _frames.Dequeue();
            any = true;
        }

        _receive.Publish();
        return any;
    }
}
