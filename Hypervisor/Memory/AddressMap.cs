namespace Paravane.Hypervisor.Memory;

/// <summary>Where things lie in the guest's physical address space. Fixed: firmware tables, page tables and devices are built on it.</summary>
internal static class AddressMap
{
    /// <summary>The boot GDT, 7 entries of 8 bytes.</summary>
    public const ulong BootGdt = 0x500;

    /// <summary>PVH: <c>hvm_start_info</c>.</summary>
    public const ulong PvhStartInfo = 0x6000;

    /// <summary>PVH: the module list.</summary>
    public const ulong PvhModules = 0x6040;

    /// <summary>Linux boot protocol: the zero page. PVH: the memory map.</summary>
    public const ulong ZeroPage = 0x7000;

    /// <summary>Initial stack pointer.</summary>
    public const ulong BootStack = 0x8FF0;

    /// <summary>Page tables of a 64-bit start: PML4, PDPT and four page directories that map 4 GiB one to one.</summary>
    public const ulong PageTables = 0x9000;

    /// <summary>Linux boot protocol: the seed of the guest's random numbers, one entry of <c>setup_data</c>. Behind the page tables.</summary>
    public const ulong SetupData = 0xF000;

    /// <summary>The kernel's command line, zero-terminated.</summary>
    public const ulong CommandLine = 0x20000;

    /// <summary>End of conventional memory; from here to <see cref="HighMemory"/> nothing is offered as RAM.</summary>
    public const ulong ConventionalEnd = 0x9FC00;

    /// <summary>RSDP, other ACPI tables behind it, up to <see cref="HighMemory"/>.</summary>
    public const ulong AcpiTables = 0xE0000;

    /// <summary>RAM goes on here, up to at most <see cref="LowMemoryEnd"/>.</summary>
    public const ulong HighMemory = 0x10_0000;

    /// <summary>End of the RAM below 4 GiB; the rest goes to <see cref="FourGiB"/>.</summary>
    public const ulong LowMemoryEnd = 0xC000_0000;

    /// <summary>virtio-mmio windows, 4 KiB each.</summary>
    public const ulong VirtioMmio = 0xC000_0000;

    /// <summary>Size of one virtio-mmio window.</summary>
    public const ulong VirtioMmioStride = 0x1000;

    /// <summary>32-bit PCI memory window.</summary>
    public const ulong Pci32 = 0xC800_0000;

    /// <summary>End of the 32-bit PCI memory window.</summary>
    public const ulong Pci32End = 0xE000_0000;

    /// <summary>PCI configuration space (ECAM), 1 MiB for the one bus.</summary>
    public const ulong Ecam = 0xE000_0000;

    /// <summary>Size of <see cref="Ecam"/>.</summary>
    public const ulong EcamBytes = 0x10_0000;

    /// <summary>The page of the generic event device and of PCI and memory hot plug.</summary>
    public const ulong EventPage = 0xF000_0000;

    /// <summary>IOAPIC.</summary>
    public const ulong IoApic = 0xFEC0_0000;

    /// <summary>Local APIC.</summary>
    public const ulong LocalApic = 0xFEE0_0000;

    /// <summary>KVM's identity-map page.</summary>
    public const ulong IdentityMap = 0xFFFB_C000;

    /// <summary>KVM's task state segment, three pages.</summary>
    public const ulong TaskState = 0xFFFB_D000;

    /// <summary>RAM above the hole.</summary>
    public const ulong FourGiB = 0x1_0000_0000;

    /// <summary>64-bit PCI memory window; above any RAM that is given (hot-added memory ends below it).</summary>
    public const ulong Pci64 = 0x40_0000_0000;

    /// <summary>End of <see cref="Pci64"/>.</summary>
    public const ulong Pci64End = 0x44_0000_0000;

    /// <summary>GSI of the serial port.</summary>
    public const int SerialGsi = 4;

    /// <summary>GSI of the generic event device.</summary>
    public const int EventGsi = 9;

    /// <summary>GSIs of virtio-mmio devices and of INTx: 10 to 23 but for those above.</summary>
    public const int FirstDeviceGsi = 10;

    /// <summary>First port of the serial console.</summary>
    public const ushort SerialPort = 0x3F8;

    /// <summary>ACPI sleep control (and, the next byte, status).</summary>
    public const ushort SleepPort = 0x600;

    /// <summary>ACPI reset: the value 1.</summary>
    public const ushort ResetPort = 0x604;
}
