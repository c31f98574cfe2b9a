using Paravane.VhostServer.Protocol;

namespace Paravane.Hypervisor.Frontend;

/// <summary>How a front-end behaves. Tests narrow it down to play older and poorer front-ends.</summary>
public sealed record FrontendOptions
{
    /// <summary>What this front-end knows how to use.</summary>
    public const ProtocolFeatures Supported = ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck | ProtocolFeatures.Mtu | ProtocolFeatures.BackendReq
        | ProtocolFeatures.Config | ProtocolFeatures.ResetDevice | ProtocolFeatures.ConfigureMemSlots | ProtocolFeatures.Status;

    /// <summary>Protocol features to accept where they are offered.</summary>
    public ProtocolFeatures ProtocolFeatures { get; init; } = Supported;

    /// <summary>How long a reply may take. GET_VRING_BASE waits for all I/O of a ring: its own limit is ten times this.</summary>
    public TimeSpan ReplyTimeout { get; init; } = TimeSpan.FromSeconds(5);
}
