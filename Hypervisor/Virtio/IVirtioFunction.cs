using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <summary>A virtio device as its transport (virtio-pci, virtio-mmio) sees it. The transport owns registers, doorbells and interrupts; this owns the rest.</summary>
/// <remarks>
/// Any thread, and no call waits for a back-end: orders are carried out one after the other on the device's own thread, so that a vCPU never
/// waits for another process (threats H6). The transport calls with its own lock held, and takes that lock in what the events and callbacks here
/// call: they are raised with no lock held that a method here takes.
/// </remarks>
internal interface IVirtioFunction
{
    /// <summary>Virtio device id: 1 network, 2 block, … (virtio 1.2 §5).</summary>
    ushort DeviceId { get; }

    /// <summary>Feature bits to offer to the guest. Does not change while the device lives.</summary>
    ulong Features { get; }

    /// <summary>Queues that exist.</summary>
    int QueueCount { get; }

    /// <summary>Largest size of each queue, a power of two.</summary>
    ushort MaxQueueSize { get; }

    /// <summary>Bytes of device-specific configuration.</summary>
    int ConfigLengthBytes { get; }

    /// <summary>Changes whenever the configuration did.</summary>
    byte ConfigGeneration { get; }

    /// <summary>Raised, on the device's thread, after the device changed its configuration.</summary>
    event Action? ConfigChanged;

    /// <summary>Raised, on the device's thread, when only a reset by the driver can help: the transport shows DEVICE_NEEDS_RESET.</summary>
    event Action? NeedsReset;

    /// <summary>The eventfd that the driver's notification of queue <paramref name="queue"/> signals; the same as long as the device lives.</summary>
    EventFd KickOf(int queue);

    /// <summary>Reads configuration; what lies outside of it reads as zero.</summary>
    void ReadConfig(uint offsetBytes, Span<byte> data);

    /// <summary>Writes configuration; what lies outside of it is ignored.</summary>
    void WriteConfig(uint offsetBytes, ReadOnlySpan<byte> data);

    /// <summary>DRIVER_OK: orders the start of <paramref name="queues"/>.</summary>
    /// <param name="features">What the driver accepted, a part of <see cref="Features"/>.</param>
    /// <param name="queues">The enabled ones.</param>
    void Start(ulong features, IReadOnlyList<VirtqueueSetup> queues);

    /// <summary>Orders the start of one queue of a running device (first enabling after DRIVER_OK, or after <see cref="StopQueue"/>).</summary>
    void StartQueue(VirtqueueSetup queue);

    /// <summary>RING_RESET: orders the stop of one queue.</summary>
    /// <param name="queue">Index.</param>
    /// <param name="stopped">Called on the device's thread when the device touches the ring no more.</param>
    void StopQueue(int queue, Action stopped);

    /// <summary>Orders that used buffers of <paramref name="queue"/> signal another eventfd, or none.</summary>
    void SetCall(int queue, EventFd? call);

    /// <summary>Device reset: orders the stop of all queues.</summary>
    /// <param name="stopped">Called on the device's thread when the device touches guest memory no more.</param>
    void Stop(Action stopped);
}
