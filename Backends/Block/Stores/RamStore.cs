using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>A disk in private memory, zeroed at the start and lost at the end. Only sectors that were written cost memory.</summary>
internal sealed class RamStore(ulong lengthBytes) : Store
{
    private readonly SparseMemory _memory = new(lengthBytes);
    private readonly FileMedium _medium = new() { LengthBytes = lengthBytes, IsInMemory = true };
    private readonly ZeroBuffer _zeroes = new();

    /// <inheritdoc/>
    public override ulong LengthBytes => _memory.LengthBytes;

    /// <inheritdoc/>
    public override IQueueLoop StartQueue(BlockDevice device, QueueConfig config, GuestMemory memory) =>
        Start(device, config, memory, new FileQueue<RamImage>(_medium, new RamImage(_memory), _zeroes, config.Size));

    /// <inheritdoc/>
    public override void Synchronize()
    {
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _memory.Dispose();
        _zeroes.Dispose();
    }
}
