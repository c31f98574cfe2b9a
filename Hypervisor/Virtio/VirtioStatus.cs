namespace Paravane.Hypervisor.Virtio;

/// <summary>Device status (virtio 1.2 §2.1), as wide as the register of virtio-pci.</summary>
[Flags]
internal enum VirtioStatus : byte
{
    /// <summary>Reset.</summary>
    None = 0,

    /// <summary><c>ACKNOWLEDGE</c>.</summary>
    Acknowledge = 1,

    /// <summary><c>DRIVER</c>.</summary>
    Driver = 2,

    /// <summary><c>DRIVER_OK</c>: the device is live.</summary>
    DriverOk = 4,

    /// <summary><c>FEATURES_OK</c>: the choice of features stands.</summary>
    FeaturesOk = 8,

    /// <summary><c>DEVICE_NEEDS_RESET</c>: set by the device.</summary>
    NeedsReset = 0x40,

    /// <summary><c>FAILED</c>: the driver has given up.</summary>
    Failed = 0x80,

    /// <summary>What a driver can set.</summary>
    ByDriver = Acknowledge | Driver | DriverOk | FeaturesOk | Failed,
}
