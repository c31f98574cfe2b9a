using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VhostServer.Tests.Support;

internal sealed class EchoLoop<TRing>(EchoDevice device, Virtqueue<TRing> queue) : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    private const int Burst = 32;

    private readonly ChainToken[] _held = new ChainToken[queue.Config.Size];
    private int _count;

    public Virtqueue Queue => queue;

    public int WakeDescriptor => device.IsHolding || _count != 0 ? device.Released.Number : -1;

    public bool RunBatch()
    {
        device.OnTurn?.Invoke(queue);
        int taken = queue.Fill(Burst);
        for (int i = 0; i < taken; i++)
        {
            _held[_count++] = queue.Peek(i).Token;
        }

        queue.Consume(taken);
        device.Count(taken);
        int done = device.IsHolding ? 0 : _count;
        for (int i = 0; i < done; i++)
        {
            Chain chain = queue[_held[i]];
            uint length = Math.Min(chain.ReadableBytes, chain.WritableBytes);
            BufferList.Copy(chain.Readable, 0, chain.Writable, 0, length);
            queue.Complete(_held[i], length);
        }

        _count -= done;
        queue.Publish();
        return taken + done != 0;
    }

    public bool TryArm()
    {
        device.OnArm?.Invoke(queue);
        EventFd.Drain(device.Released.Number);
        return (device.IsHolding || _count == 0) && queue.TryArm();
    }

    public void Dispose() => queue.Dispose();
}
