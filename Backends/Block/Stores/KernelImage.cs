using System.Diagnostics;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>An image as one queue uses it: system calls at once.</summary>
internal readonly struct KernelImage(ImageFile file) : IImage
{
    /// <inheritdoc/>
    public bool CanQueue => false;

    /// <inheritdoc/>
    public bool HasWork => false;

    /// <inheritdoc/>
    public int WakeDescriptor => -1;

    /// <inheritdoc/>
    public int Read(BufferList target, uint offset, uint lengthBytes, ulong position, TransferModes modes) =>
        file.Read(target, offset, lengthBytes, position, modes);

    /// <inheritdoc/>
    public int Write(BufferList source, uint offset, uint lengthBytes, ulong position, TransferModes modes) =>
        file.Write(source, offset, lengthBytes, position, modes);

    /// <inheritdoc/>
    public int DataSync() => file.DataSync();

    /// <inheritdoc/>
    public int Allocate(AllocateMode mode, ulong position, ulong lengthBytes) => file.Allocate(mode, position, lengthBytes);

    /// <inheritdoc/>
    public void QueueRead(ushort slot, BufferList target, uint offset, uint lengthBytes, ulong position) => throw new UnreachableException();

    /// <inheritdoc/>
    public void QueueWrite(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable) => throw new UnreachableException();

    /// <inheritdoc/>
    public void QueueDataSync(ushort slot) => throw new UnreachableException();

    /// <inheritdoc/>
    public void QueueAllocate(ushort slot, AllocateMode mode, ulong position, ulong lengthBytes) => throw new UnreachableException();

    /// <inheritdoc/>
    public bool Submit() => false;

    /// <inheritdoc/>
    public bool TryReap(out ushort slot, out int result)
    {
        slot = 0;
        result = 0;
        return false;
    }

    /// <inheritdoc/>
    public void OnMemoryChanged(GuestMemory memory)
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
