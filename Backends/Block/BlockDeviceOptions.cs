namespace Paravane.Backends.Block;

/// <summary>How a disk shows itself to the guest.</summary>
internal sealed record BlockDeviceOptions
{
    /// <summary>Refuse everything that changes the medium.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Request queues.</summary>
    public int QueueCount { get; init; } = 1;

    /// <summary>Largest queue size in descriptors.</summary>
    public int MaxQueueSize { get; init; } = 1024;

    /// <summary>Answer to GET_ID, at most 20 bytes of UTF-8.</summary>
    public string Serial { get; init; } = string.Empty;

    /// <summary>Logical block: 512 or 4096 bytes.</summary>
    public uint LogicalBlockBytes { get; init; } = 512;

    /// <summary>A worker thread for each queue instead of one for all.</summary>
    public bool WorkerPerQueue { get; init; }
}
