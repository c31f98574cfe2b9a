namespace Paravane.VhostServer.Protocol;

/// <summary>Requests from back-end to front-end, on the socket of <see cref="FrontendRequest.SetBackendReqFd"/>.</summary>
public enum BackendRequest : uint
{
    /// <summary>Not a request.</summary>
    None = 0,

    /// <summary>IOTLB miss or access failure, 32 bytes.</summary>
    IotlbMsg = 1,

    /// <summary>Empty: read the config space again.</summary>
    ConfigChangeMsg = 2,

    /// <summary>Vring area, 24 bytes.</summary>
    VringHostNotifierMsg = 3,

    /// <summary><see cref="VringState"/>.</summary>
    VringCall = 4,

    /// <summary><see cref="VringState"/>.</summary>
    VringErr = 5,

    /// <summary>UUID, 16 bytes.</summary>
    SharedObjectAdd = 6,

    /// <summary>UUID, 16 bytes.</summary>
    SharedObjectRemove = 7,

    /// <summary>UUID, 16 bytes.</summary>
    SharedObjectLookup = 8,

    /// <summary>Shared memory map, 40 bytes.</summary>
    ShmemMap = 9,

    /// <summary>Shared memory map, 40 bytes.</summary>
    ShmemUnmap = 10,
}
