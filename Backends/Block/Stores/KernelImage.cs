using System.Diagnostics;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>An image as one queue uses it: system calls at once, and a ring for what may wait.</summary>
/// <param name="file">Owned by the store.</param>
/// <param name="ring">Owned by this; null where the kernel refuses io_uring or nothing ever waits.</param>
/// <param name="pins">
/// Guest memory is registered with the ring: quicker, but the kernel goes on using the pages it found, also when the front-end gives them back
/// and gets others in their place (balloon, free page reporting, virtio-mem). So only the user can decide it.
/// </param>
internal readonly struct KernelImage(ImageFile file, IoUring? ring, bool pins) : IImage
{
    /// <inheritdoc/>
    public bool CanQueue => ring is not null;

    /// <inheritdoc/>
    public int WakeDescriptor => ring is null ? -1 : ring.WakeDescriptor;

    private IoUring Ring => ring ?? throw new UnreachableException();

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
    public void QueueRead(ushort slot, BufferList target, uint offset, uint lengthBytes, ulong position) =>
        Ring.QueueRead(target, offset, lengthBytes, position, slot);

    /// <inheritdoc/>
    public void QueueWrite(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable) =>
        Ring.QueueWrite(source, offset, lengthBytes, position, durable, slot);

    /// <inheritdoc/>
    public void QueueDataSync(ushort slot) => Ring.QueueDataSync(slot);

    /// <inheritdoc/>
    public void QueueAllocate(ushort slot, AllocateMode mode, ulong position, ulong lengthBytes) => Ring.QueueAllocate(mode, position, lengthBytes, slot);

    /// <inheritdoc/>
    public bool Submit() => ring is not null && ring.Submit();

    /// <inheritdoc/>
    public bool TryArm() => ring is null || ring.TryArm();

    /// <inheritdoc/>
    public void Disarm() => ring?.Disarm();

    /// <inheritdoc/>
    public bool TryReap(out ushort slot, out int result)
    {
        if (ring is not null && ring.TryReap(out ulong userData, out result))
        {
            slot = (ushort)userData;
            return true;
        }

        slot = 0;
        result = 0;
        return false;
    }

    /// <inheritdoc/>
    public void OnMemoryChanged(GuestMemory memory)
    {
        if (pins)
        {
            ring?.RegisterMemory(memory);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => ring?.Dispose();
}
