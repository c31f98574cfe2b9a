using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Tests.Bench;

/// <summary>The device side of one block queue over an array, with one kind of fault at every hundredth request.</summary>
internal sealed class TinyDisk<TRing> : IDisposable
    where TRing : struct, IRing<TRing>
{
    private const int FaultEvery = 100;
    private const int HeaderBytes = 16;

    private readonly Virtqueue<TRing> _queue;
    private readonly byte[] _image;
    private readonly DiskFault _fault;
    private int _requests;

    public TinyDisk(FrontendQueue queue, GuestRam ram, int sizeBytes, DiskFault fault)
    {
        _queue = new Virtqueue<TRing>(queue.Ring.ToQueueConfig(), ram.Table) { Enabled = true };
        _image = new byte[sizeBytes];
        _fault = fault;
    }

    public ReadOnlySpan<byte> Image => _image;

    public bool Serve()
    {
        int count = _queue.Fill(Virtqueue<TRing>.WindowSize);
        for (int i = 0; i < count; i++)
        {
            VirtioQueues.Chains.Chain chain = _queue.Peek(0);
            bool now = ++_requests % FaultEvery == 0;
            DiskFault fault = now ? _fault : DiskFault.None;
            uint written = Execute(chain, fault);
            _queue.Consume(1);
            if (fault != DiskFault.NeverAnswers)
            {
                _queue.Complete(chain.Token, written);
            }
        }

        _queue.Publish();
        return count > 0;
    }

    public void Dispose() => _queue.Dispose();

    private uint Execute(VirtioQueues.Chains.Chain chain, DiskFault fault)
    {
        Assert.True(chain.Readable.TryRead(0, out uint type));
        Assert.True(chain.Readable.TryRead(8, out ulong sector));
        bool isWrite = type == 1;
        Span<byte> place = _image.AsSpan((int)(sector * 512));
        int length = (int)(isWrite ? chain.Readable.LengthBytes - HeaderBytes : chain.Writable.LengthBytes - 1);
        if (isWrite && fault is not (DiskFault.ForgetsAWrite or DiskFault.ReportsAnError))
        {
            byte[] data = new byte[length];
            _ = chain.Readable.CopyTo(HeaderBytes, data);
            data[length / 2] ^= (byte)(fault == DiskFault.FlipsABitOnWrite ? 1 : 0);
            data.CopyTo(fault == DiskFault.WritesElsewhere ? _image.AsSpan((int)((sector * 512) + (ulong)length) % _image.Length) : place);
        }

        if (!isWrite && fault != DiskFault.ReadsNothing)
        {
            byte[] data = place[..length].ToArray();
            data[length - 1] ^= (byte)(fault == DiskFault.FlipsABitOnRead ? 0x80 : 0);
            _ = chain.Writable.CopyFrom(0, data);
        }

        if (fault != DiskFault.AnswersWithoutStatus)
        {
            chain.Writable.WriteLast((byte)(fault == DiskFault.ReportsAnError ? 1 : 0));
        }

        return isWrite ? 1 : chain.Writable.LengthBytes;
    }
}
