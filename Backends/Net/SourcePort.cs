using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Split;

namespace Paravane.Backends.Net;

/// <summary><c>--net=source</c>: frames of one size come out of the wire as fast as the guest takes them, each queue pair a stream of its own.</summary>
/// <param name="frameBytes">Length of each frame.</param>
/// <param name="destination">Six bytes.</param>
internal sealed class SourcePort(int frameBytes, byte[] destination) : INetPort
{
    /// <inheritdoc/>
    public ulong Features => NetFeatures.Csum | NetFeatures.HostSegmentation;

    /// <inheritdoc/>
    public bool TrySetMtu(int mtuBytes) => frameBytes <= mtuBytes + FrameLimits.EthernetHeaderBytes;

    /// <inheritdoc/>
    public void Announce(ReadOnlySpan<byte> frame)
    {
        // Transmitted frames are swallowed.
    }

    /// <inheritdoc/>
    public IQueueLoop StartReceive(QueueConfig config, GuestMemory memory, QueuePair pair)
    {
        var frame = new TestFrame(frameBytes, destination, (byte)pair.Index);
        return config.Format == RingFormat.Packed ? new SourceReceive<PackedRing>(config, memory, pair, frame) : new SourceReceive<SplitRing>(config, memory, pair, frame);
    }

    /// <inheritdoc/>
    public IQueueLoop StartTransmit(QueueConfig config, GuestMemory memory, QueuePair pair) =>
        config.Format == RingFormat.Packed ? new DropTransmit<PackedRing>(config, memory) : new DropTransmit<SplitRing>(config, memory);

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
