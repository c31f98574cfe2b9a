using Paravane.Backends.Block.Spec;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>The medium as one queue sees it. Implemented by structs, so that each store gets a request loop of its own without virtual calls.</summary>
/// <remarks>
/// Worker thread only. Ranges were checked against the capacity. A store whose <see cref="Waits"/> is false answers at once; the others may
/// answer <see cref="BlkStatus.Pending"/> and name the request by its slot in <see cref="TryReap"/> later.
/// </remarks>
internal interface IStoreQueue : IDisposable
{
    /// <summary>False: nothing is ever pending, and the members behind <see cref="Flush"/> are never called.</summary>
    static abstract bool Waits { get; }

    /// <summary>A descriptor that becomes readable when <see cref="TryReap"/> has something, once armed; or −1.</summary>
    int WakeDescriptor { get; }

    /// <summary>Requests wait for more turns than one: no new ones are taken meanwhile, so that a stop waits for few.</summary>
    bool HasBacklog { get; }

    /// <summary>A turn begins, which may do so much work and no more.</summary>
    void BeginTurn();

    /// <summary><paramref name="requests"/> new requests begin.</summary>
    void Begin(int requests);

    /// <summary>Reads into the first <paramref name="lengthBytes"/> bytes of <paramref name="target"/>.</summary>
    /// <remarks><paramref name="writtenBytes"/>: bytes really written from the beginning of <paramref name="target"/> on; meaningless while pending.</remarks>
    BlkStatus Read(ushort slot, BufferList target, uint lengthBytes, ulong position, out uint writtenBytes);

    /// <summary>Writes <paramref name="lengthBytes"/> bytes of <paramref name="source"/> from <paramref name="offset"/> on.</summary>
    /// <remarks><paramref name="durable"/>: on stable storage before it completes.</remarks>
    BlkStatus Write(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable);

    /// <summary>Tells that ranges hold nothing of value.</summary>
    BlkStatus Discard(ushort slot, ReadOnlySpan<BlkSegment> segments, bool durable);

    /// <summary>Makes ranges read as zeroes.</summary>
    BlkStatus WriteZeroes(ushort slot, ReadOnlySpan<BlkSegment> segments, bool durable);

    /// <summary>Makes every write that any queue completed before durable.</summary>
    BlkStatus Flush(ushort slot);

    /// <summary>Hands what was started since the last time to the kernel, in one call.</summary>
    /// <returns>True when there was something.</returns>
    bool Submit();

    /// <summary>Takes one finished operation.</summary>
    /// <param name="slot">The request.</param>
    /// <param name="result">For <see cref="Continue"/>.</param>
    bool TryReap(out ushort slot, out int result);

    /// <summary>Goes on with a request after one of its operations finished.</summary>
    /// <param name="slot">The request.</param>
    /// <param name="buffers">Its data: the list given to <see cref="Read"/> or <see cref="Write"/>.</param>
    /// <param name="result">From <see cref="TryReap"/>.</param>
    /// <param name="writtenBytes">As for <see cref="Read"/>.</param>
    BlkStatus Continue(ushort slot, BufferList buffers, int result, out uint writtenBytes);

    /// <summary>Before sleeping: makes <see cref="WakeDescriptor"/> tell. False when a turn would find something.</summary>
    bool TryArm();

    /// <summary>After waking.</summary>
    void Disarm();

    /// <summary>True when the pending request reads from the medium, so that its data is the writable part of the chain.</summary>
    bool IsRead(ushort slot);

    /// <summary>The queue moved to another memory table.</summary>
    void OnMemoryChanged(GuestMemory memory);
}
