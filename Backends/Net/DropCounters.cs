using System.Runtime.CompilerServices;
using Paravane.VirtioQueues;

namespace Paravane.Backends.Net;

/// <summary>Frames that went nowhere, by reason, of one queue pair. Written by the pair's worker, read by any thread.</summary>
/// <param name="pair">Its number.</param>
internal sealed class DropCounters(int pair)
{
    /// <summary>The same in words. A frame on a queue that is not enabled is lost as on a wire without a plug, of which there is nothing to tell.</summary>
    public DeviceTroubles Troubles { get; } = new(
        $"queue pair {pair}, frames dropped",
        null,
        "without content",
        "shorter than an Ethernet header",
        "longer than the MTU or any packet",
        "with a header that contradicts them",
        "that ask for an offload which was not negotiated",
        "for which the driver has no buffers",
        null,
        "that the interface did not take");

    /// <summary>Frames dropped for <paramref name="reason"/>.</summary>
    public long this[Drop reason] => Troubles[(int)reason];

    /// <summary>Frames dropped for any reason.</summary>
    public long Total => Troubles.Total;

    /// <summary>Counts one frame. Worker only.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Count(Drop reason) => Troubles.Count((int)reason);
}
