using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>What one queue can ask the kernel to do with an image: single operations, which may be short or fail. The seam where tests put faults in.</summary>
/// <remarks>Worker thread only. Results are counts, or negative error numbers.</remarks>
internal interface IImage : IDisposable
{
    /// <summary>True: operations can be queued, and waiting never holds up the worker.</summary>
    bool CanQueue { get; }

    /// <summary>Readable when a queued operation finished after <see cref="TryArm"/>; −1 without a queue.</summary>
    int WakeDescriptor { get; }

    /// <summary>Reads once, here and now.</summary>
    int Read(BufferList target, uint offset, uint lengthBytes, ulong position, TransferModes modes);

    /// <summary>Writes once, here and now.</summary>
    int Write(BufferList source, uint offset, uint lengthBytes, ulong position, TransferModes modes);

    /// <summary>Makes completed writes durable, here and now.</summary>
    int DataSync();

    /// <summary>Punches or zeroes a range, here and now.</summary>
    int Allocate(AllocateMode mode, ulong position, ulong lengthBytes);

    /// <summary>Queues one read; <paramref name="slot"/> comes back with the result.</summary>
    void QueueRead(ushort slot, BufferList target, uint offset, uint lengthBytes, ulong position);

    /// <summary>Queues one write.</summary>
    void QueueWrite(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable);

    /// <summary>Queues a data sync.</summary>
    void QueueDataSync(ushort slot);

    /// <summary>Queues punching or zeroing.</summary>
    void QueueAllocate(ushort slot, AllocateMode mode, ulong position, ulong lengthBytes);

    /// <summary>Hands queued operations to the kernel and lets it finish what it can, in one call.</summary>
    /// <returns>False when there was no reason for a call.</returns>
    bool Submit();

    /// <summary>Takes one finished operation.</summary>
    bool TryReap(out ushort slot, out int result);

    /// <summary>Before sleeping. False when an operation finished already or waits to be handed over.</summary>
    bool TryArm();

    /// <summary>After waking.</summary>
    void Disarm();

    /// <summary>Guest memory changed: renew what was registered of it.</summary>
    void OnMemoryChanged(GuestMemory memory);
}
