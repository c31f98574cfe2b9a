namespace Paravane.Hypervisor.Acpi;

/// <summary>Where an interrupt pin of a PCI device ends; level-triggered.</summary>
/// <param name="Device">Number of the device on its bus.</param>
/// <param name="Pin">0 is INTA.</param>
/// <param name="Gsi">Global system interrupt.</param>
internal readonly record struct PciPin(int Device, int Pin, int Gsi);
