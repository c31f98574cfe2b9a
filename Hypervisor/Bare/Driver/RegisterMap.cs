namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Where a transport has the registers that every driver programs; what it does with them is the same on both.</summary>
/// <remarks>Offsets from the common configuration of virtio-pci (virtio 1.2 §4.1.4.3) and from the window of virtio-mmio (§4.2.2).</remarks>
internal sealed record RegisterMap
{
    /// <summary>virtio-pci.</summary>
    public static RegisterMap Pci { get; } = new()
    {
        DeviceFeatureSelect = 0,
        DeviceFeature = 4,
        DriverFeatureSelect = 8,
        DriverFeature = 12,
        Status = 20,
        StatusWidth = Width.Byte,
        QueueSelect = 22,
        QueueWidth = Width.Word,
        QueueSizeMax = 24,
        QueueSize = 24,
        QueueEnable = 28,
        Descriptors = 32,
        DriverArea = 40,
        DeviceArea = 48,
    };

    /// <summary>virtio-mmio.</summary>
    public static RegisterMap Mmio { get; } = new()
    {
        DeviceFeatureSelect = 0x14,
        DeviceFeature = 0x10,
        DriverFeatureSelect = 0x24,
        DriverFeature = 0x20,
        Status = 0x70,
        StatusWidth = Width.Dword,
        QueueSelect = 0x30,
        QueueWidth = Width.Dword,
        QueueSizeMax = 0x34,
        QueueSize = 0x38,
        QueueEnable = 0x44,
        Descriptors = 0x80,
        DriverArea = 0x90,
        DeviceArea = 0xA0,
    };

    /// <summary>Which half of the device's features is shown; 32 bits.</summary>
    public required int DeviceFeatureSelect { get; init; }

    /// <summary>That half; 32 bits.</summary>
    public required int DeviceFeature { get; init; }

    /// <summary>Which half of the driver's features is written; 32 bits.</summary>
    public required int DriverFeatureSelect { get; init; }

    /// <summary>That half; 32 bits.</summary>
    public required int DriverFeature { get; init; }

    /// <summary>Status.</summary>
    public required int Status { get; init; }

    /// <summary>Width of the status.</summary>
    public required Width StatusWidth { get; init; }

    /// <summary>Which queue the following are about.</summary>
    public required int QueueSelect { get; init; }

    /// <summary>Width of the queue's registers, addresses excepted.</summary>
    public required Width QueueWidth { get; init; }

    /// <summary>Read: largest size.</summary>
    public required int QueueSizeMax { get; init; }

    /// <summary>Written: the size.</summary>
    public required int QueueSize { get; init; }

    /// <summary>Written 1: the queue is enabled.</summary>
    public required int QueueEnable { get; init; }

    /// <summary>Address of the descriptors, two times 32 bits.</summary>
    public required int Descriptors { get; init; }

    /// <summary>Address of the driver's area.</summary>
    public required int DriverArea { get; init; }

    /// <summary>Address of the device's area.</summary>
    public required int DeviceArea { get; init; }
}
