using System.Diagnostics;
using Paravane.Backends.Block.Spec;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>See <see cref="RamStore"/>: one copy between the medium and the guest's pages.</summary>
internal readonly struct RamQueue(SparseMemory memory) : IStoreQueue
{
    /// <inheritdoc/>
    public static bool Waits => false;

    /// <inheritdoc/>
    public int WakeDescriptor => -1;

    /// <inheritdoc/>
    public void Begin(int requests)
    {
    }

    /// <inheritdoc/>
    public BlkStatus Read(ushort slot, BufferList target, uint lengthBytes, ulong position, out uint writtenBytes)
    {
        memory.Read(position, target, 0, lengthBytes);
        writtenBytes = lengthBytes;
        return BlkStatus.Ok;
    }

    /// <inheritdoc/>
    public BlkStatus Write(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable)
    {
        memory.Write(position, source, offset, lengthBytes);
        return BlkStatus.Ok;
    }

    /// <inheritdoc/>
    public BlkStatus Discard(ushort slot, ReadOnlySpan<BlkSegment> segments, bool durable)
    {
        foreach (BlkSegment segment in segments)
        {
            memory.Punch(segment.Sector * BlockLimits.SectorBytes, (ulong)segment.Sectors * BlockLimits.SectorBytes);
        }

        return BlkStatus.Ok;
    }

    /// <inheritdoc/>
    public BlkStatus WriteZeroes(ushort slot, ReadOnlySpan<BlkSegment> segments, bool durable)
    {
        foreach (BlkSegment segment in segments)
        {
            ulong position = segment.Sector * BlockLimits.SectorBytes, lengthBytes = (ulong)segment.Sectors * BlockLimits.SectorBytes;
            if (segment.MayUnmap)
            {
                memory.Punch(position, lengthBytes);
            }
            else
            {
                memory.Clear(position, lengthBytes);
            }
        }

        return BlkStatus.Ok;
    }

    /// <inheritdoc/>
    public BlkStatus Flush(ushort slot) => BlkStatus.Ok;

    /// <inheritdoc/>
    public bool Submit() => false;

    /// <inheritdoc/>
    public bool TryArm() => true;

    /// <inheritdoc/>
    public void Disarm()
    {
    }

    /// <inheritdoc/>
    public bool TryReap(out ushort slot, out int result) => throw new UnreachableException();

    /// <inheritdoc/>
    public BlkStatus Continue(ushort slot, BufferList buffers, int result, out uint writtenBytes) => throw new UnreachableException();

    /// <inheritdoc/>
    public bool IsRead(ushort slot) => false;

    /// <inheritdoc/>
    public void OnMemoryChanged(GuestMemory memory)
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
