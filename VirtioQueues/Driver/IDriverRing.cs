namespace Paravane.VirtioQueues.Driver;

/// <summary>The driver side of one ring format, for load generators, demos and tests. Implemented by structs, so that each format gets a body of its own.</summary>
/// <remarks>
/// One thread at a time. The memory given by <see cref="DriverRingConfig.Memory"/> must stay held while the ring is used. Two ways of collecting:
/// <see cref="GetUsedBurst"/> frees the descriptors; <see cref="TakeUsedBurst"/> leaves the chains with the caller, who posts them again as they are
/// (<see cref="Repost"/>) or frees them (<see cref="Release"/>).
/// </remarks>
/// <typeparam name="TSelf">The implementing struct.</typeparam>
public interface IDriverRing<TSelf>
    where TSelf : struct, IDriverRing<TSelf>
{
    /// <summary>Initialises the ring's memory and opens it with notifications from the device switched off.</summary>
    /// <exception cref="ArgumentException">Size, alignment or an area is wrong; the message says which.</exception>
    static abstract TSelf Open(DriverRingConfig config);

    /// <summary>Ring descriptors that may be used for new chains.</summary>
    int FreeDescriptors { get; }

    /// <summary>Chains added and not collected yet.</summary>
    int InFlight { get; }

    /// <summary>The rule the device broke, or <see cref="DriverFault.None"/>.</summary>
    DriverFault Fault { get; }

    /// <summary>Adds a chain, private until <see cref="Publish"/>.</summary>
    /// <param name="buffers">At least one; readable ones first.</param>
    /// <param name="readableCount">How many of them the device reads; it writes the others.</param>
    /// <param name="cookie">Comes back with the chain.</param>
    /// <param name="indirect">Through the ring's indirect tables: takes one descriptor of the ring only.</param>
    /// <returns>False when too few descriptors are free.</returns>
    /// <exception cref="ArgumentException">The chain can never be added: it is empty, longer than the ring or than an indirect table.</exception>
    bool TryAdd(ReadOnlySpan<DriverBuffer> buffers, int readableCount, ushort cookie, bool indirect = false);

    /// <summary>Posts chains of one ring descriptor (direct or indirect) again, with the same buffers and cookies, private until <see cref="Publish"/>.</summary>
    /// <param name="chains">From <see cref="TakeUsedBurst"/>, each once.</param>
    /// <exception cref="ArgumentException">A chain is not held by the caller or has several ring descriptors.</exception>
    void Repost(ReadOnlySpan<UsedChain> chains);

    /// <summary>Frees the descriptors of chains from <see cref="TakeUsedBurst"/>.</summary>
    /// <exception cref="ArgumentException">A chain is not held by the caller.</exception>
    void Release(ReadOnlySpan<UsedChain> chains);

    /// <summary>Shows the device everything added since the last time: one release store and one fence, however many chains.</summary>
    /// <returns>True when the device wants a kick.</returns>
    bool Publish();

    /// <summary>Collects one chain and frees its descriptors.</summary>
    /// <returns>False when there is none, or after a <see cref="Fault"/>.</returns>
    bool TryGetUsed(out ushort cookie, out uint writtenBytes);

    /// <summary>Collects chains and frees their descriptors.</summary>
    /// <returns>Number of chains stored.</returns>
    int GetUsedBurst(Span<UsedChain> used);

    /// <summary>Collects chains and leaves their descriptors as they are, with the caller.</summary>
    /// <returns>Number of chains stored.</returns>
    int TakeUsedBurst(Span<UsedChain> used);

    /// <summary>Asks for a call at the next used chain and looks again.</summary>
    /// <returns>False when used chains are there already: collect them instead of sleeping.</returns>
    bool TryArmCall();

    /// <summary>Tells the device that no call is needed, with as few shared stores as the negotiated features allow.</summary>
    void DisarmCall();
}
