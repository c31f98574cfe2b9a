using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Pci;

/// <summary>What a function gets from its bus.</summary>
/// <param name="Slot">Device number, 0 to 31.</param>
/// <param name="Space">Room for BARs.</param>
/// <param name="Windows">Where BARs answer.</param>
/// <param name="Lines">Wired interrupts.</param>
internal sealed record PciPlace(int Slot, BarSpace Space, IMemoryWindows Windows, IntxLines Lines);
