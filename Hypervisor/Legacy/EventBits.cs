namespace Paravane.Hypervisor.Legacy;

/// <summary>What happened: the event register of <see cref="EventDevice"/>.</summary>
[Flags]
internal enum EventBits : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Memory was plugged in.</summary>
    Memory = 2,

    /// <summary>A PCI slot changed or shall be emptied.</summary>
    Pci = 4,

    /// <summary>The power button was pressed.</summary>
    PowerButton = 8,
}
