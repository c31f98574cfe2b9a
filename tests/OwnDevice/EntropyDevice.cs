using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace OwnDevice;

/// <summary>A virtio entropy device (virtio 1.2 §5.4): one queue, and every buffer on it comes back filled with random bytes.</summary>
internal sealed class EntropyDevice : IVirtioDevice
{
    public VirtioDeviceTraits Traits { get; } = new()
    {
        DeviceId = 4,
        QueueCount = 1,
        Features = VirtioFeatures.Version1 | VirtioFeatures.RingPacked | VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc,
        ThreadName = "rng",
    };

    public event Action? ConfigChanged
    {
        add { }
        remove { }
    }

    public void ReadConfig(int offsetBytes, Span<byte> destination) => destination.Clear();

    public string? TryWriteConfig(int offsetBytes, ReadOnlySpan<byte> source, bool restoring) => "an entropy device has no config space";

    public IQueueLoop StartQueue(QueueConfig config, GuestMemory memory) => config.Format == RingFormat.Packed
        ? new EntropyLoop<PackedRing>(new(config, memory))
        : new EntropyLoop<SplitRing>(new(config, memory));

    public void Reset()
    {
    }
}
