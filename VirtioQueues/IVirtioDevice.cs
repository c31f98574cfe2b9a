using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues;

/// <summary>A virtio device, whatever front door serves it. It never sees a socket, a message or a descriptor of a session.</summary>
/// <remarks>
/// Two contexts: <em>session</em> (control messages, one at a time) and <em>worker</em> (queues). Each member says which. A worker's queues
/// are all its own; <see cref="WorkerOf"/> decides which queues share one.
/// </remarks>
public interface IVirtioDevice
{
    /// <summary>Fixed properties. Any thread.</summary>
    VirtioDeviceTraits Traits { get; }

    /// <summary>Raised when the device changed its own config space (a disk grew, a link went down). Any thread.</summary>
    event Action? ConfigChanged;

    /// <summary>What goes wrong on the data path, for the log: always the same ones. Any thread.</summary>
    IReadOnlyList<DeviceTroubles> Troubles => [];

    /// <summary>Number of the worker that owns queue <paramref name="queueIndex"/>: 0…<see cref="VirtioDeviceTraits.WorkerCount"/> − 1. Any thread.</summary>
    int WorkerOf(int queueIndex) => 0;

    /// <summary>Checks a feature set beyond «offered»: dependencies between bits. Session.</summary>
    /// <returns>Null, or a sentence that names the bit and what it lacks.</returns>
    string? FindFeatureError(ulong features) => null;

    /// <summary>Learns the negotiated features, before queues start with them. Session.</summary>
    /// <param name="features">A subset of the offered ones that passed <see cref="FindFeatureError"/>.</param>
    void AcceptFeatures(ulong features)
    {
    }

    /// <summary>Copies config space from <paramref name="offsetBytes"/> on. Session. Bytes past <see cref="VirtioDeviceTraits.ConfigSizeBytes"/> are the caller's affair.</summary>
    void ReadConfig(int offsetBytes, Span<byte> destination);

    /// <summary>Writes config space. Session.</summary>
    /// <param name="offsetBytes">First byte; offset and length lie inside the space.</param>
    /// <param name="source">New bytes.</param>
    /// <param name="restoring">True when a migration restores the space: read-only fields are accepted.</param>
    /// <returns>Null, or a sentence that names the field which may not change; nothing changed then.</returns>
    string? TryWriteConfig(int offsetBytes, ReadOnlySpan<byte> source, bool restoring);

    /// <summary>Starts a queue on its worker's thread. This is where the ring format becomes a type argument.</summary>
    /// <param name="config">Checked. Features are negotiated ones.</param>
    /// <param name="memory">Guest memory; a queue that keeps it acquires it.</param>
    IQueueLoop StartQueue(QueueConfig config, GuestMemory memory);

    /// <summary>Back to the initial state (config values that a driver changed, filters). Session; no queue is running.</summary>
    void Reset();

    /// <summary>
    /// The front-end has gone: forgets what it and its driver chose, so that the next one, which may have another guest, finds the device as it was configured. A front-end
    /// that comes back for the same guest brings what matters in its record of requests in flight. Session; no queue is running.
    /// </summary>
    void ForgetFrontend() => Reset();
}
