using System.Globalization;
using Paravane.Hypervisor.Legacy;
using Paravane.Hypervisor.Memory;

namespace Paravane.Hypervisor.Acpi;

/// <summary>The machine's DSDT: its devices, and the methods by which the guest learns of events (ACPI 6.4 §5.6.9: generic event device).</summary>
internal static class Dsdt
{
    private const ulong PageBytes = 0x1000;
    private const byte DeviceCheck = 1, EjectRequest = 3, ButtonPressed = 0x80;

    /// <summary>GUID E5C937D0-3553-4D7A-9117-EA4D19C3434D: functions of PCI firmware.</summary>
    private static ReadOnlySpan<byte> PciFirmwareGuid => [0xD0, 0x37, 0xC9, 0xE5, 0x53, 0x35, 0x7A, 0x4D, 0x91, 0x17, 0xEA, 0x4D, 0x19, 0xC3, 0x43, 0x4D];

    /// <summary>The definition block, without the table's header.</summary>
    public static byte[] Build(AcpiPlan plan)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(plan.MemorySlots, EventDevice.MaxMemorySlots);
        int[] slots = [.. Enumerable.Range(0, 32).Where(slot => plan.HasPci && (plan.HotPlugSlots & (1u << slot)) != 0)];
        return Aml.Join(
            Aml.Scope(
                "\\_SB",
                EventRegisters(),
                Serial(),
                Board(plan),
                plan.HasPci ? PciRoot(plan, slots) : [],
                Aml.Join([.. plan.MmioDevices.Select(VirtioMmio)]),
                Aml.Join([.. Enumerable.Range(0, plan.MemorySlots).Select(Memory)]),
                Aml.Device("PWRB", Aml.Name("_HID", Aml.EisaId("PNP0C0C")), Aml.Name("_UID", Aml.Zero)),
                EventSource(plan, slots)),
            Aml.Name("\\_S5", Aml.Package(Aml.Integer(PowerControl.SoftOff), Aml.Integer(PowerControl.SoftOff), Aml.Zero, Aml.Zero)));
    }

    private static byte[] EventRegisters() => Aml.Join(
        Aml.MemoryRegion("EVTR", AddressMap.EventPage, EventDevice.EjectOffset + sizeof(uint)),
        Aml.Fields("EVTR", ("EVTS", 32), ("MEMU", 32), ("PCIU", 32), ("PCID", 32), ("PCEJ", 32)));

    private static byte[] Serial() => Aml.Device(
        "COM1",
        Aml.Name("_HID", Aml.EisaId("PNP0501")),
        Aml.Name("_UID", Aml.Integer(1)),
        Aml.Name("_CRS", Resource.Template(Resource.Ports(AddressMap.SerialPort, Serial16550.PortCount), Resource.Interrupt(AddressMap.SerialGsi, edge: true))));

    /// <summary>Addresses that belong to the board: Linux uses ECAM only where ACPI reserves it.</summary>
    private static byte[] Board(AcpiPlan plan) => Aml.Device(
        "MBRD",
        Aml.Name("_HID", Aml.EisaId("PNP0C02")),
        Aml.Name("_UID", Aml.Zero),
        Aml.Name("_CRS", Resource.Template(
            Resource.FixedMemory(AddressMap.EventPage, PageBytes),
            plan.HasPci ? Resource.FixedMemory(AddressMap.Ecam, AddressMap.EcamBytes) : [])));

    private static byte[] PciRoot(AcpiPlan plan, int[] slots)
    {
        const ushort ConfigAddressPort = 0xCF8;
        byte[][] slotDevices = [.. slots.Select(slot => Aml.Device(
            SlotName(slot),
            Aml.Name("_SUN", Aml.Integer((ulong)slot)),
            Aml.Name("_ADR", Aml.Integer((ulong)slot << 16)),
            Aml.Method("_EJ0", 1, Aml.Store(Aml.Integer(1UL << slot), Aml.Path("PCEJ")))))];
        return Aml.Device(
            "PCI0",
            Aml.Name("_HID", Aml.EisaId("PNP0A08")),
            Aml.Name("_CID", Aml.EisaId("PNP0A03")),
            Aml.Name("_SEG", Aml.Zero),
            Aml.Name("_UID", Aml.Zero),
            Aml.Name("_BBN", Aml.Zero),
            Aml.Name("_CRS", Resource.Template(
                Resource.Buses(0, 0),
                Resource.Ports(ConfigAddressPort, 8),
                Resource.Window32(AddressMap.Pci32, AddressMap.Pci32End),
                Resource.Window64(AddressMap.Pci64, AddressMap.Pci64End))),
            KeepResources(),
            plan.PciPins.Count > 0 ? Aml.Name("_PRT", Aml.Package([.. plan.PciPins.Select(Route)])) : [],
            Aml.Join(slotDevices),
            slots.Length > 0 ? ScanSlots(slots) : []);
    }

    /// <summary><c>_DSM</c> with function 5 returning 0: the guest keeps the addresses of BARs as it finds them (PCI firmware specification 3.3 §4.6.5).</summary>
    private static byte[] KeepResources()
    {
        const byte Functions0And5 = 0x21;
        return Aml.Method(
            "_DSM",
            4,
            Aml.If(
                Aml.Equal(Aml.Arg(0), Aml.Buffer(PciFirmwareGuid)),
                Aml.If(Aml.Equal(Aml.Arg(2), Aml.Zero), Aml.Return(Aml.Buffer([Functions0And5]))),
                Aml.If(Aml.Equal(Aml.Arg(2), Aml.Integer(5)), Aml.Return(Aml.Zero))),
            Aml.Return(Aml.Buffer([0])));
    }

    private static byte[] Route(PciPin pin) => Aml.Package(
        Aml.Integer(((ulong)pin.Device << 16) | 0xFFFF), Aml.Integer((ulong)pin.Pin), Aml.Zero, Aml.Integer((ulong)pin.Gsi));

    /// <summary>Reads which slots changed, which clears it, and tells the guest of each.</summary>
    private static byte[] ScanSlots(int[] slots) => Aml.Method(
        "PSCN",
        0,
        Aml.Store(Aml.Path("PCIU"), Aml.Local(0)),
        Aml.Store(Aml.Path("PCID"), Aml.Local(1)),
        Aml.Join([.. slots.Select(slot => Aml.Join(
            Aml.If(Aml.And(Aml.Local(0), Aml.Integer(1UL << slot)), Aml.Notify(SlotName(slot), DeviceCheck)),
            Aml.If(Aml.And(Aml.Local(1), Aml.Integer(1UL << slot)), Aml.Notify(SlotName(slot), EjectRequest))))]));

    private static byte[] VirtioMmio(MmioDevice device, int index) => Aml.Device(
        Numbered('V', index),
        Aml.Name("_HID", Aml.Text("LNRO0005")),
        Aml.Name("_UID", Aml.Integer((ulong)index)),
        Aml.Name("_CCA", Aml.Integer(1)),
        Aml.Name("_CRS", Resource.Template(
            Resource.FixedMemory(device.Address, AddressMap.VirtioMmioStride), Resource.Interrupt(device.Gsi, edge: true))));

    /// <summary>A memory device over registers of its own: no selector, so nothing to lock.</summary>
    private static byte[] Memory(int slot) => Aml.Device(
        MemoryName(slot),
        Aml.Name("_HID", Aml.EisaId("PNP0C80")),
        Aml.Name("_UID", Aml.Integer((ulong)slot)),
        Aml.MemoryRegion("REGS", AddressMap.EventPage + EventDevice.MemorySlotsOffset + ((ulong)slot * EventDevice.MemorySlotBytes), EventDevice.MemorySlotBytes),
        Aml.Fields("REGS", ("BASE", 64), ("SIZE", 64), ("PRES", 32)),
        Aml.Method(
            "_STA",
            0,
            Aml.If(Aml.Path("PRES"), Aml.Return(Aml.Integer(0x0F))),
            Aml.Return(Aml.Zero)),
        Aml.Method(
            "_CRS",
            0,
            Aml.Name("RBUF", Resource.Template(Resource.Memory64())),
            Aml.QWordField(Aml.Path("RBUF"), Resource.Memory64Minimum, "RMIN"),
            Aml.QWordField(Aml.Path("RBUF"), Resource.Memory64Maximum, "RMAX"),
            Aml.QWordField(Aml.Path("RBUF"), Resource.Memory64Length, "RLEN"),
            Aml.Store(Aml.Path("BASE"), Aml.Path("RMIN")),
            Aml.Store(Aml.Path("SIZE"), Aml.Path("RLEN")),
            Aml.Add(Aml.Path("RMIN"), Aml.Path("RLEN"), Aml.Path("RMAX")),
            Aml.Subtract(Aml.Path("RMAX"), Aml.Integer(1), Aml.Path("RMAX")),
            Aml.Return(Aml.Path("RBUF"))));

    private static byte[] EventSource(AcpiPlan plan, int[] slots)
    {
        byte[] IfEvent(EventBits bit, byte[] what) => Aml.If(Aml.And(Aml.Local(0), Aml.Integer((ulong)bit)), what);
        byte[] memory = Aml.Join(
            Aml.Store(Aml.Path("MEMU"), Aml.Local(1)),
            Aml.Join([.. Enumerable.Range(0, plan.MemorySlots).Select(slot =>
                Aml.If(Aml.And(Aml.Local(1), Aml.Integer(1UL << slot)), Aml.Notify(MemoryName(slot), DeviceCheck)))]));
        return Aml.Device(
            "GED",
            Aml.Name("_HID", Aml.Text("ACPI0013")),
            Aml.Name("_UID", Aml.Zero),
            Aml.Name("_CRS", Resource.Template(Resource.Interrupt(AddressMap.EventGsi, edge: false))),
            Aml.Method(
                "_EVT",
                1,
                Aml.Store(Aml.Path("EVTS"), Aml.Local(0)),
                plan.MemorySlots > 0 ? IfEvent(EventBits.Memory, memory) : [],
                slots.Length > 0 ? IfEvent(EventBits.Pci, Aml.Call("\\_SB.PCI0.PSCN")) : [],
                IfEvent(EventBits.PowerButton, Aml.Notify("PWRB", ButtonPressed))));
    }

    private static string SlotName(int slot) => Numbered('S', slot);

    private static string MemoryName(int slot) => Numbered('M', slot);

    private static string Numbered(char kind, int number) => kind + number.ToString("X3", CultureInfo.InvariantCulture);
}
