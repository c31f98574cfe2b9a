using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Split;

namespace Paravane.Backends.Net;

/// <summary><c>--net=drop</c>: nothing comes out of the wire, and nothing that goes in is seen again. So every transmit offload is served.</summary>
internal sealed class DropPort : INetPort
{
    /// <inheritdoc/>
    public ulong Features => NetFeatures.Csum | NetFeatures.HostSegmentation;

    /// <inheritdoc/>
    public bool TrySetMtu(int mtuBytes) => true;

    /// <inheritdoc/>
    public void Announce(ReadOnlySpan<byte> frame)
    {
        // Dropped like any other.
    }

    /// <inheritdoc/>
    public IQueueLoop StartReceive(QueueConfig config, GuestMemory memory, QueuePair pair) =>
        config.Format == RingFormat.Packed ? new IdleReceive<PackedRing>(config, memory) : new IdleReceive<SplitRing>(config, memory);

    /// <inheritdoc/>
    public IQueueLoop StartTransmit(QueueConfig config, GuestMemory memory, QueuePair pair) =>
        config.Format == RingFormat.Packed ? new DropTransmit<PackedRing>(config, memory) : new DropTransmit<SplitRing>(config, memory);

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
