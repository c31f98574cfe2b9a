namespace Paravane.Hypervisor.Acpi;

/// <summary>A virtio-mmio device; its interrupt is edge-triggered.</summary>
/// <param name="Address">First address of its window.</param>
/// <param name="Gsi">Global system interrupt.</param>
internal readonly record struct MmioDevice(ulong Address, int Gsi);
