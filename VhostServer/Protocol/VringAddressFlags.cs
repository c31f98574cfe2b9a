namespace Paravane.VhostServer.Protocol;

/// <summary>Flags of <see cref="VringAddress"/>.</summary>
[Flags]
public enum VringAddressFlags : uint
{
    /// <summary>No bit.</summary>
    None = 0,

    /// <summary><c>VHOST_VRING_F_LOG</c>: log writes to the used ring.</summary>
    Log = 1,
}
