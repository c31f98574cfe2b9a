using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>A disk without a medium, the yardstick for what rings cost: writes are dropped, reads complete and leave their buffers untouched.</summary>
internal sealed class NullStore(ulong lengthBytes) : Store
{
    /// <inheritdoc/>
    public override ulong LengthBytes { get; } = lengthBytes;

    /// <inheritdoc/>
    public override IQueueLoop StartQueue(BlockDevice device, QueueConfig config, GuestMemory memory) => Start(device, config, memory, default(NullQueue));

    /// <inheritdoc/>
    public override void Synchronize()
    {
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
    }
}
