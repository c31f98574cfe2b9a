using Paravane.VirtioQueues;

namespace Paravane.Backends.Net;

/// <summary>What the receive and the transmit queue of one pair know of each other. Both belong to the same worker, which alone touches this.</summary>
internal sealed class QueuePair(int index, Link link)
{
    /// <summary>Number of the pair.</summary>
    public int Index { get; } = index;

    /// <summary>What all pairs share.</summary>
    public Link Link { get; } = link;

    /// <summary>Frames that went nowhere. Any thread may read them.</summary>
    public DropCounters Drops { get; } = new();

    /// <summary>The started receive queue of a looped pair, or null.</summary>
    public IQueueLoop? Receive { get; set; }

    /// <summary>Frames wait in the transmit ring until the receive ring has room for the first of them.</summary>
    public bool WaitsForRoom { get; set; }
}
