using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>Where the sectors of a disk live, shared by all its queues. Owns files and memory.</summary>
internal abstract class Store : IDisposable
{
    /// <summary>Capacity in bytes, a multiple of the sector; fixed while the process lives.</summary>
    public abstract ulong LengthBytes { get; }

    /// <summary>Block size the medium works in: a power of two.</summary>
    public virtual uint PhysicalBlockBytes => 4096;

    /// <summary>Makes the loop of one queue, on the worker's thread.</summary>
    public abstract IQueueLoop StartQueue(BlockDevice device, QueueConfig config, GuestMemory memory);

    /// <summary>Makes all completed writes durable. Session, when a driver turns the volatile cache off.</summary>
    public abstract void Synchronize();

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>What failed on the medium, or null where nothing can.</summary>
    public virtual DeviceTroubles? Failures => null;

    /// <summary>Chooses the ring format, once a queue start.</summary>
    private protected static IQueueLoop Start<TStore>(BlockDevice device, QueueConfig config, GuestMemory memory, TStore queue)
        where TStore : struct, IStoreQueue =>
        config.Format == RingFormat.Packed
            ? new BlockLoop<VirtioQueues.Packed.PackedRing, TStore>(device, config, memory, queue)
            : new BlockLoop<VirtioQueues.Split.SplitRing, TStore>(device, config, memory, queue);
}
