namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>How far the guest's driver is.</summary>
internal enum DriverState : ulong
{
    /// <summary>It looks for devices and sets them up.</summary>
    Starting,

    /// <summary>Requests and frames flow.</summary>
    Running,

    /// <summary>Everything has come back and the devices are reset.</summary>
    Done,

    /// <summary>It gave up: <see cref="DriverFault"/> says why.</summary>
    Failed,
}
