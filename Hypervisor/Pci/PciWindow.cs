namespace Paravane.Hypervisor.Pci;

/// <summary>A range of guest physical addresses in which BARs may lie.</summary>
/// <param name="Start">First address.</param>
/// <param name="End">First address behind it.</param>
internal readonly record struct PciWindow(ulong Start, ulong End)
{
    /// <summary>True when all of <paramref name="sizeBytes"/> from <paramref name="address"/> lie inside.</summary>
    public bool Contains(ulong address, ulong sizeBytes) => address >= Start && address < End && sizeBytes <= End - address;
}
