namespace Paravane.VirtioQueues;

/// <summary>Fixed properties of a device.</summary>
public sealed record VirtioDeviceTraits
{
    /// <summary>Virtio device id (virtio 1.2 §5): 1 network, 2 block, 4 entropy.</summary>
    public required ushort DeviceId { get; init; }

    /// <summary>Number of queues the device can serve.</summary>
    public required int QueueCount { get; init; }

    /// <summary>Largest queue size in descriptors.</summary>
    public int MaxQueueSize { get; init; } = QueueConfig.MaxSize;

    /// <summary>Virtio feature bits offered, of device and rings; the front door adds its own.</summary>
    public required ulong Features { get; init; }

    /// <summary>Size of the config space in bytes, at most 256.</summary>
    public int ConfigSizeBytes { get; init; }

    /// <summary>Workers that the queues are spread over.</summary>
    public int WorkerCount { get; init; } = 1;

    /// <summary>Short prefix of worker thread names: <c>blk</c> makes <c>blk-w0</c>.</summary>
    public required string ThreadName { get; init; }
}
