using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Tests;

/// <summary>A queue of a <see cref="FakeDisk"/> in the place of the kernel.</summary>
internal readonly struct FakeImage(FakeDisk.Queue queue) : IImage
{
    public bool CanQueue => queue.CanQueue;

    public int WakeDescriptor => -1;

    public int Read(BufferList target, uint offset, uint lengthBytes, ulong position, TransferModes modes) =>
        queue.Read(target, offset, lengthBytes, position, modes);

    public int Write(BufferList source, uint offset, uint lengthBytes, ulong position, TransferModes modes) =>
        queue.Write(source, offset, lengthBytes, position, modes);

    public int DataSync() => queue.Sync();

    public int Allocate(AllocateMode mode, ulong position, ulong lengthBytes) => queue.Allocate(position, lengthBytes);

    public void QueueRead(ushort slot, BufferList target, uint offset, uint lengthBytes, ulong position) =>
        queue.Add(slot, new FakeOperation(FakeKind.Read, position, lengthBytes, false, false), target, offset);

    public void QueueWrite(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable) =>
        queue.Add(slot, new FakeOperation(FakeKind.Write, position, lengthBytes, durable, false), source, offset);

    public void QueueDataSync(ushort slot) => queue.Add(slot, new FakeOperation(FakeKind.Sync, 0, 0, false, false), default, 0);

    public void QueueAllocate(ushort slot, AllocateMode mode, ulong position, ulong lengthBytes) =>
        queue.Add(slot, new FakeOperation(FakeKind.Allocate, position, (uint)lengthBytes, false, false), default, 0);

    public bool Submit() => queue.Submit();

    public bool TryReap(out ushort slot, out int result) => queue.TryReap(out slot, out result);

    public bool TryArm() => queue.IsIdle;

    public void Disarm()
    {
    }

    public void OnMemoryChanged(GuestMemory memory)
    {
    }

    public void Dispose() => queue.Close();
}
