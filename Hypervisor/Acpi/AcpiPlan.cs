namespace Paravane.Hypervisor.Acpi;

/// <summary>What the machine has that its firmware tables must tell.</summary>
internal sealed record AcpiPlan
{
    /// <summary>vCPUs; APIC ids are 0 to this less one, and the first one boots.</summary>
    public required int CpuCount { get; init; }

    /// <summary>There is a PCI bus, with ECAM.</summary>
    public bool HasPci { get; init; }

    /// <summary>Bit n: device n of the PCI bus can be plugged in and taken away.</summary>
    public uint HotPlugSlots { get; init; }

    /// <summary>Wired interrupts of PCI devices.</summary>
    public IReadOnlyList<PciPin> PciPins { get; init; } = [];

    /// <summary>virtio-mmio devices.</summary>
    public IReadOnlyList<MmioDevice> MmioDevices { get; init; } = [];

    /// <summary>Memory devices that can be plugged in, at most <see cref="Legacy.EventDevice.MaxMemorySlots"/>.</summary>
    public int MemorySlots { get; init; }
}
