using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues;

/// <summary>The device side of one ring format: cursors and ring memory, nothing else. Implemented by structs, so that each format gets a body of its own.</summary>
/// <remarks>
/// Worker thread only. Fetch half and completion half are separate, since requests complete out of order. Used elements stay private until
/// <see cref="Publish"/>. Members take slots, which only <see cref="Virtqueue{TRing}"/> hands out.
/// </remarks>
/// <typeparam name="TSelf">The implementing struct.</typeparam>
public unsafe interface IRing<TSelf>
    where TSelf : struct, IRing<TSelf>
{
    /// <summary>Makes a ring with the cursors of <paramref name="config"/>; it touches no memory before it is attached.</summary>
    static abstract TSelf Open(QueueConfig config);

    /// <summary>Resolves the ring's areas in <paramref name="memory"/>, keeping the cursors. The first attachment also reads the used index.</summary>
    /// <returns>False when an area is not inside one region; the ring must not be used then.</returns>
    internal bool TryAttach(QueueConfig config, GuestMemory memory);

    /// <summary>
    /// Takes up the record of requests in flight (<see cref="QueueConfig.Inflight"/>), after the first attachment. What a predecessor left undone is taken before
    /// anything else, in the order in which it was taken first.
    /// </summary>
    internal void Resume(QueueConfig config, ref ChainFault fault);

    /// <summary>Chains of a predecessor that have to be had by <see cref="TryTakeAgain"/>; <see cref="TryTake"/> would skip them.</summary>
    internal int Unserved { get; }

    /// <summary>Takes the oldest of them into <paramref name="slot"/>. False: it is not a chain any more.</summary>
    internal bool TryTakeAgain(ref ChainWalker walker, ChainSlot* slot, ref ChainFault fault);

    /// <summary>Records that these chains were taken last, in this order, before anybody looks at them. Only with a record.</summary>
    internal void RecordTaken(ChainSlot* slots, ushort* indices, int count);

    /// <summary>Records that <paramref name="slot"/> is about to be completed. Only with a record.</summary>
    internal void RecordComplete(ChainSlot* slot);

    /// <summary>How many chains may be taken now, at most <paramref name="max"/>. One acquire of the driver's index when the shadow knows of fewer.</summary>
    internal int Available(int max, ref ChainFault fault);

    /// <summary>Takes the next chain into <paramref name="slot"/>. False with no fault: the list is not complete yet.</summary>
    internal bool TryTake(ref ChainWalker walker, ChainSlot* slot, ref ChainFault fault);

    /// <summary>Takes chains of one descriptor each, as long as they come and nothing is special about them: what network queues nearly always hold.</summary>
    /// <param name="walker">Translates.</param>
    /// <param name="slots">The queue's slots.</param>
    /// <param name="free">The free slot to use first; the others stand before it.</param>
    /// <param name="window">Where the indices of the slots go.</param>
    /// <param name="count">At most so many, as <see cref="Available"/> promised.</param>
    /// <returns>Chains taken. <see cref="TryTake"/> says what is wrong with the next, if anything.</returns>
    internal int TakeRun(ref ChainWalker walker, ChainSlot* slots, ushort* free, ushort* window, int count);

    /// <summary>Gives the chain taken last back to the ring, as if it had not been taken.</summary>
    internal void Rewind(ChainSlot* slot);

    /// <summary>Records a completion with <paramref name="writtenBytes"/>, private until <see cref="Publish"/>.</summary>
    internal void Complete(ChainSlot* slot, uint writtenBytes);

    /// <summary>As <see cref="Complete"/> for each of several chains in this order, with the cursors kept at hand.</summary>
    /// <param name="slots">The queue's slots.</param>
    /// <param name="indices">Which of them.</param>
    /// <param name="writtenBytes">One for each; null for zero everywhere.</param>
    /// <param name="count">Number of chains.</param>
    internal void CompleteRun(ChainSlot* slots, ushort* indices, uint* writtenBytes, int count);

    /// <summary>Makes all completions visible at once and decides about a notification (virtio 1.2 §2.7.8, §2.8.21).</summary>
    /// <returns>True when the driver wants a call.</returns>
    internal bool Publish();

    /// <summary>Asks the driver for a kick at the next chain, then looks again.</summary>
    /// <returns>False when chains are available already: take them instead of sleeping.</returns>
    internal bool TryArm();

    /// <summary>Tells the driver that no kick is needed, with as few shared stores as the negotiated features allow.</summary>
    internal void Disarm();

    /// <summary>Where to go on after a stop, once everything taken was completed or rewound.</summary>
    internal QueueState State { get; }

    /// <summary>Records the ring memory that completions and notifications change in <paramref name="log"/>.</summary>
    internal bool TryLog(QueueConfig config, DirtyLog log);
}
