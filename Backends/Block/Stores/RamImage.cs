using System.Diagnostics;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>See <see cref="RamStore"/>: one copy between the medium and the guest's pages, never short, never failing.</summary>
internal readonly struct RamImage(SparseMemory memory) : IImage
{
    /// <inheritdoc/>
    public bool CanQueue => false;

    /// <inheritdoc/>
    public int WakeDescriptor => -1;

    /// <inheritdoc/>
    public int Read(BufferList target, uint offset, uint lengthBytes, ulong position, TransferModes modes)
    {
        memory.Read(position, target, offset, lengthBytes);
        return (int)lengthBytes;
    }

    /// <inheritdoc/>
    public int Write(BufferList source, uint offset, uint lengthBytes, ulong position, TransferModes modes)
    {
        memory.Write(position, source, offset, lengthBytes);
        return (int)lengthBytes;
    }

    /// <inheritdoc/>
    public int DataSync() => 0;

    /// <inheritdoc/>
    public int Allocate(AllocateMode mode, ulong position, ulong lengthBytes)
    {
        if (mode == AllocateMode.PunchHole)
        {
            memory.Punch(position, lengthBytes);
        }
        else
        {
            memory.Clear(position, lengthBytes);
        }

        return 0;
    }

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
    public bool TryArm() => true;

    /// <inheritdoc/>
    public void Disarm()
    {
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
