namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Devices that the guest's driver knows; the values number their counters.</summary>
internal enum DriverDevice
{
    /// <summary>The block device.</summary>
    Disk,

    /// <summary>The network device.</summary>
    Net,
}
