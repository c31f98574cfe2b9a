using Microsoft.Win32.SafeHandles;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;

namespace OwnDevice;

/// <summary>Answers the chains of the entropy queue.</summary>
internal sealed class EntropyLoop<TRing>(Virtqueue<TRing> queue) : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    private const int Burst = 16;           // bounds one turn

    private readonly SafeFileHandle _source = File.OpenHandle("/dev/urandom");
    private readonly byte[] _bytes = new byte[512];

    public Virtqueue Queue => queue;

    public bool RunBatch()
    {
        int count = queue.Fill(Burst);
        for (int i = 0; i < count; i++)
        {
            Chain chain = queue.Peek(i);
            // A driver that offers a gigabyte gets the first 512 bytes: the used length says so.
            int wanted = (int)Math.Min(chain.Writable.LengthBytes, (uint)_bytes.Length);
            int read = RandomAccess.Read(_source, _bytes.AsSpan(0, wanted), fileOffset: 0);
            queue.Complete(chain.Token, (uint)chain.Writable.CopyFrom(0, _bytes.AsSpan(0, read)));
        }

        queue.Consume(count);
        queue.Publish();
        return count != 0;
    }

    public void Dispose()
    {
        queue.Dispose();
        _source.Dispose();
    }
}
