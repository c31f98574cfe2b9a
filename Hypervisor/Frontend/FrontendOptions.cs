using Paravane.VhostServer.Protocol;

namespace Paravane.Hypervisor.Frontend;

/// <summary>How a front-end behaves. Tests narrow it down to play older and poorer front-ends.</summary>
public sealed record FrontendOptions
{
    /// <summary>What this front-end knows how to use.</summary>
    public const ProtocolFeatures Supported = ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck | ProtocolFeatures.Mtu | ProtocolFeatures.BackendReq
        | ProtocolFeatures.Config | ProtocolFeatures.ResetDevice | ProtocolFeatures.ConfigureMemSlots | ProtocolFeatures.Status
        | ProtocolFeatures.InflightShmFd;

    /// <summary>
    /// What is accepted unless somebody wants otherwise. Whoever accepts INFLIGHT_SHMFD has to hand a record over before rings start: libvhost-user and
    /// DPDK refuse to start one without.
    /// </summary>
    public const ProtocolFeatures Untracked = Supported & ~ProtocolFeatures.InflightShmFd;

    /// <summary>Protocol features to accept where they are offered.</summary>
    public ProtocolFeatures ProtocolFeatures { get; init; } = Untracked;

    /// <summary>
    /// How long a reply may take. GET_VRING_BASE waits for all I/O of a ring: its own limit is ten times this. All that a guest's reset asks of a back-end may
    /// take as long as one reply.
    /// </summary>
    public TimeSpan ReplyTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long the first reply may take of a process that was started for this connection and has yet to come up; null: as long as any, since who listens at a
    /// path has. The socket shows at once when such a process dies, so that patience with a busy host costs nothing.
    /// </summary>
    public TimeSpan? StartTimeout { get; init; }
}
