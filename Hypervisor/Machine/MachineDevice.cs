using Paravane.Hypervisor.Virtio;

namespace Paravane.Hypervisor.Machine;

/// <summary>A device of a machine: the function, and the transport through which the guest sees it.</summary>
/// <param name="Function">The device; owned by the machine.</param>
/// <param name="Pci">Its PCI function, or null.</param>
/// <param name="Mmio">Its virtio-mmio window, or null.</param>
/// <param name="Place">PCI slot, or number of the window.</param>
internal sealed record MachineDevice(VhostUserFunction Function, VirtioPci? Pci, VirtioMmio? Mmio, int Place)
{
    /// <summary>The guest was asked to let it go.</summary>
    public bool IsLeaving { get; set; }

    /// <summary>Vectors and doorbells that the host refused.</summary>
    public long Refusals => Pci?.Refusals ?? Mmio!.Refusals;
}
