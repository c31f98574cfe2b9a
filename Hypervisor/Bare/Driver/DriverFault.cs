namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Why the guest's driver gave up before it ran, or what it found wrong while it ran.</summary>
internal enum DriverFault
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>No such device on the bus.</summary>
    NoDevice,

    /// <summary>The PCI function has no common configuration, notification area or device configuration.</summary>
    NoCapability,

    /// <summary>Its status does not become 0.</summary>
    NoReset,

    /// <summary>A feature that the driver cannot do without is not offered.</summary>
    FeatureMissing,

    /// <summary>FEATURES_OK does not stay.</summary>
    FeaturesRefused,

    /// <summary>A queue is missing, or smaller than needed.</summary>
    QueueTooSmall,

    /// <summary>The disk has less than the area to be used.</summary>
    DiskTooSmall,

    /// <summary>DRIVER_OK does not stay, or the device asks for a reset.</summary>
    NotStarted,

    /// <summary>The device used a buffer that it was not given.</summary>
    ForeignBuffer,

    /// <summary>A used buffer has another length than it must have.</summary>
    WrongLength,

    /// <summary>The disk reports an error.</summary>
    BadStatus,

    /// <summary>A block or a frame holds other bytes than were written or sent.</summary>
    WrongContent,

    /// <summary>A frame is not the next one.</summary>
    WrongOrder,
}
