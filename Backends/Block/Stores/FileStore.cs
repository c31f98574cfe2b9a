using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>A disk on an image. Each queue has an image of its own, opened at the start of the process, so that each sees every write error once.</summary>
/// <typeparam name="TImage">The kernel's files, or a test's.</typeparam>
/// <param name="medium">What the queues share.</param>
/// <param name="openQueue">Makes the image of queue <c>n</c>, on the worker's thread.</param>
/// <param name="sync">fdatasync, from the session.</param>
/// <param name="close">Closes the files.</param>
internal sealed class FileStore<TImage>(FileMedium medium, Func<QueueConfig, GuestMemory, TImage> openQueue, Func<int> sync, Action close) : Store
    where TImage : struct, IImage
{
    private readonly ZeroBuffer _zeroes = new();

    /// <inheritdoc/>
    public override ulong LengthBytes => medium.LengthBytes;

    /// <inheritdoc/>
    public override uint PhysicalBlockBytes => medium.PhysicalBlockBytes;

    /// <inheritdoc/>
    public override IQueueLoop StartQueue(BlockDevice device, QueueConfig config, GuestMemory memory) =>
        Start(device, config, memory, new FileQueue<TImage>(medium, openQueue(config, memory), _zeroes, config.Size));

    /// <inheritdoc/>
    public override void Synchronize()
    {
        if (sync() < 0)
        {
            medium.LatchFlushFailure();
        }
    }

    /// <inheritdoc/>
    public override DeviceTroubles? Failures => medium.Failures;

    /// <inheritdoc/>
    public override void Dispose()
    {
        close();
        _zeroes.Dispose();
    }
}
