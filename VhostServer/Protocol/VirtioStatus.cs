namespace Paravane.VhostServer.Protocol;

/// <summary>Device status byte (virtio 1.2 §2.1), as SET_STATUS and GET_STATUS carry it.</summary>
[Flags]
public enum VirtioStatus : byte
{
    /// <summary>Reset.</summary>
    None = 0,

    /// <summary>The guest has seen the device.</summary>
    Acknowledge = 1,

    /// <summary>The guest has a driver for it.</summary>
    Driver = 2,

    /// <summary>The driver is ready.</summary>
    DriverOk = 4,

    /// <summary>The features are settled.</summary>
    FeaturesOk = 8,

    /// <summary>The device is broken until it is reset.</summary>
    NeedsReset = 64,

    /// <summary>The driver gave up.</summary>
    Failed = 128,
}
