namespace Paravane.VhostServer.Protocol;

/// <summary>Who writes config space (vhost-user: SET_CONFIG). A value, not a set of bits.</summary>
public enum ConfigFlags : uint
{
    /// <summary>The guest: only writable fields may change.</summary>
    Guest = 0,

    /// <summary>A migration restores the space. Some front-ends send it with writes of the guest too.</summary>
    Migration = 1,
}
