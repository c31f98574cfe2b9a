using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <summary>What differs between virtio-pci and virtio-mmio, as <see cref="VirtioRegisters"/> needs it. All members are called with the device's lock held.</summary>
internal interface IVirtioTransport
{
    /// <summary>The eventfd for used buffers of <paramref name="queue"/>, as things stand; null when the driver wants no interrupt.</summary>
    EventFd? CallOf(int queue);

    /// <summary><paramref name="queue"/> is about to run: kicks go to it.</summary>
    void QueueStarting(int queue);

    /// <summary>Kicks do not go to <paramref name="queue"/> any more.</summary>
    void QueueStopping(int queue);

    /// <summary>The registers of <paramref name="queue"/> have their initial values again.</summary>
    void QueueCleared(int queue);

    /// <summary>The device is reset: no interrupt is due any more.</summary>
    void DeviceCleared();

    /// <summary>Tells the driver that configuration or status changed.</summary>
    void ConfigInterrupt();
}
