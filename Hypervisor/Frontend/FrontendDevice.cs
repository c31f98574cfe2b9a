using Paravane.Hypervisor.Memory;
using Paravane.VhostServer.Protocol;

namespace Paravane.Hypervisor.Frontend;

/// <summary>The start and the stop of a whole device, in the order that QEMU uses.</summary>
public static class FrontendDevice
{
    private const VirtioStatus Negotiated = VirtioStatus.Acknowledge | VirtioStatus.Driver | VirtioStatus.FeaturesOk;

    /// <summary>Memory, rings, enabling, DRIVER_OK. Features are set before: rings are laid out by them.</summary>
    /// <exception cref="FrontendException">The back-end refused a step; the message names it.</exception>
    public static void Start(VhostUserFrontend frontend, GuestRam ram, IReadOnlyList<FrontendQueue> queues)
    {
        ArgumentNullException.ThrowIfNull(frontend);
        ArgumentNullException.ThrowIfNull(ram);
        ArgumentNullException.ThrowIfNull(queues);
        frontend.SetStatus(Negotiated);
        frontend.SetMemory(ram.Regions);
        foreach (FrontendQueue queue in queues)
        {
            queue.Start(frontend);
        }

        foreach (FrontendQueue queue in queues)
        {
            frontend.SetVringEnable(queue.Index, enabled: true);
        }

        frontend.SetStatus(Negotiated | VirtioStatus.DriverOk);
    }

    /// <summary>Disables and stops every ring; returns when the back-end holds no request any more.</summary>
    /// <exception cref="FrontendException">The back-end refused a step; the message names it.</exception>
    public static void Stop(VhostUserFrontend frontend, IReadOnlyList<FrontendQueue> queues)
    {
        ArgumentNullException.ThrowIfNull(frontend);
        ArgumentNullException.ThrowIfNull(queues);
        foreach (FrontendQueue queue in queues)
        {
            frontend.SetVringEnable(queue.Index, enabled: false);
        }

        foreach (FrontendQueue queue in queues)
        {
            _ = frontend.GetVringBase(queue.Index);
        }

        frontend.SetStatus(VirtioStatus.None);
    }
}
