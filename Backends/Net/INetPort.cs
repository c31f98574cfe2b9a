using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>What is at the other end of the device's wire. One per process; makes the loops of each queue.</summary>
internal interface INetPort : IDisposable
{
    /// <summary>Feature bits that this port serves beyond those of every network device. Any thread.</summary>
    ulong Features { get; }

    /// <summary>Takes another MTU. Session.</summary>
    /// <returns>False when the other end cannot carry it.</returns>
    bool TrySetMtu(int mtuBytes);

    /// <summary>Sends a frame to the network side, as if the guest had. Session.</summary>
    void Announce(ReadOnlySpan<byte> frame);

    /// <summary>Starts a receive queue on its worker's thread. This is where the ring format becomes a type argument.</summary>
    IQueueLoop StartReceive(QueueConfig config, GuestMemory memory, QueuePair pair);

    /// <summary>Starts a transmit queue on its worker's thread.</summary>
    IQueueLoop StartTransmit(QueueConfig config, GuestMemory memory, QueuePair pair);
}
