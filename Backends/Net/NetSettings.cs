namespace Paravane.Backends.Net;

/// <summary>What the user chose, checked.</summary>
internal sealed record NetSettings
{
    /// <summary>Most queue pairs: their queues and a control queue are numbered in eight bits by the messages that start them.</summary>
    public const int MaxQueuePairs = 127;

    /// <summary>MTU where nothing else is said.</summary>
    public const int DefaultMtuBytes = 1500;

    /// <summary>Queue pairs offered, 1…<see cref="MaxQueuePairs"/>.</summary>
    public int QueuePairs { get; init; } = 1;

    /// <summary>Largest queue size in descriptors.</summary>
    public int QueueSize { get; init; } = VirtioQueues.QueueConfig.MaxSize;

    /// <summary>The address the device names, or null: the driver or the front-end chooses one.</summary>
    public byte[]? Mac { get; init; }

    /// <summary>Payload of an Ethernet frame in bytes.</summary>
    public int MtuBytes { get; init; } = DefaultMtuBytes;

    /// <summary>A worker for each pair rather than one for all.</summary>
    public bool WorkerPerPair { get; init; }
}
