using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Split;

namespace Paravane.Backends.Net;

/// <summary><c>--net=loop</c>: the wire leads back to the guest, queue pair by queue pair.</summary>
/// <remarks>
/// Checksums are offered in both directions: one that the sender left open stays open for a driver with GUEST_CSUM and is completed on the way for
/// any other. Segmentation is not offered: sender and receiver are one driver, which may take what it does not make, and the other way round.
/// </remarks>
internal sealed class LoopPort : INetPort
{
    /// <inheritdoc/>
    public ulong Features => NetFeatures.Csum | NetFeatures.GuestCsum;

    /// <inheritdoc/>
    public bool TrySetMtu(int mtuBytes) => true;

    /// <inheritdoc/>
    public void Announce(ReadOnlySpan<byte> frame)
    {
        // There is nobody but the guest, and the guest is not to see it.
    }

    /// <inheritdoc/>
    public IQueueLoop StartReceive(QueueConfig config, GuestMemory memory, QueuePair pair) =>
        config.Format == RingFormat.Packed ? new LoopReceive<PackedRing>(config, memory, pair) : new LoopReceive<SplitRing>(config, memory, pair);

    /// <inheritdoc/>
    public IQueueLoop StartTransmit(QueueConfig config, GuestMemory memory, QueuePair pair) =>
        config.Format == RingFormat.Packed ? new LoopTransmit<PackedRing>(config, memory, pair) : new LoopTransmit<SplitRing>(config, memory, pair);

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
