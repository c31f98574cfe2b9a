namespace Paravane.Backends.Net;

/// <summary>Why a frame went nowhere. Each reason has a counter in <see cref="DropCounters"/>.</summary>
internal enum Drop : byte
{
    /// <summary>It was not dropped.</summary>
    None,

    /// <summary>The chain is not longer than the header (threats N1).</summary>
    NoFrame,

    /// <summary>Shorter than an Ethernet header (threats N3).</summary>
    Runt,

    /// <summary>Longer than any packet, or than the MTU the driver agreed to (threats N3).</summary>
    Oversize,

    /// <summary>A header field points over the end of the frame or contradicts another (threats N2).</summary>
    BadHeader,

    /// <summary>It asks for an offload that was not negotiated (threats N7).</summary>
    NotNegotiated,

    /// <summary>The receiving driver has no buffers of that size (threats N4).</summary>
    Overrun,

    /// <summary>The receiving or the transmitting queue is not enabled.</summary>
    Disabled,

    /// <summary>The kernel did not take it: TAP queue full, interface down.</summary>
    Refused,
}
