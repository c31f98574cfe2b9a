using System.Diagnostics;
using Paravane.Backends.Block.Spec;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>See <see cref="NullStore"/>. A read reports no data byte as written, since none is: whatever was in the buffer stays the driver's own.</summary>
internal readonly struct NullQueue : IStoreQueue
{
    /// <inheritdoc/>
    public static bool Waits => false;

    /// <inheritdoc/>
    public int WakeDescriptor => -1;

    /// <inheritdoc/>
    public bool HasBacklog => false;

    /// <inheritdoc/>
    public void BeginTurn()
    {
    }

    /// <inheritdoc/>
    public void Begin(int requests)
    {
    }

    /// <inheritdoc/>
    public BlkStatus Read(ushort slot, BufferList target, uint lengthBytes, ulong position, out uint writtenBytes)
    {
        writtenBytes = 0;
        return BlkStatus.Ok;
    }

    /// <inheritdoc/>
    public BlkStatus Write(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable) => BlkStatus.Ok;

    /// <inheritdoc/>
    public BlkStatus Discard(ushort slot, ReadOnlySpan<BlkSegment> segments, bool durable) => BlkStatus.Ok;

    /// <inheritdoc/>
    public BlkStatus WriteZeroes(ushort slot, ReadOnlySpan<BlkSegment> segments, bool durable) => BlkStatus.Ok;

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
