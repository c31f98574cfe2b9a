using System.Diagnostics;
using System.Text;
using Paravane.Hypervisor.Acpi;
using Paravane.Hypervisor.Legacy;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Tests.Boot;

namespace Paravane.Hypervisor.Tests.Acpi;

public sealed class AcpiTablesTests
{
    private static AcpiPlan Full => new()
    {
        CpuCount = 16,
        HasPci = true,
        HotPlugSlots = 0xFFFF_FFFE,
        PciPins = [.. Enumerable.Range(1, 31).Select(device => new PciPin(device, 0, AddressMap.FirstDeviceGsi + (device % 14)))],
        MmioDevices = [.. Enumerable.Range(0, 8).Select(i => new MmioDevice(AddressMap.VirtioMmio + ((ulong)i * AddressMap.VirtioMmioStride), AddressMap.FirstDeviceGsi + i))],
        MemorySlots = EventDevice.MaxMemorySlots,
    };

    [Fact]
    public void Every_table_is_reachable_with_its_length_and_checksum_right()
    {
        Dictionary<string, byte[]> tables = Walk(Full);
        Assert.Equal(["APIC", "DSDT", "FACP", "MCFG", "XSDT"], tables.Keys.Order());
        Assert.DoesNotContain("MCFG", Walk(new AcpiPlan { CpuCount = 1 }).Keys);
    }

    [Fact]
    public void The_tables_go_where_the_address_map_says()
    {
        using var memory = new BootMemory(16 << 20);
        Assert.Equal(AddressMap.AcpiTables, AcpiTables.Write(Full, memory.Table));
        Assert.Equal(AcpiTables.Build(Full), memory.Bytes(AddressMap.AcpiTables, AcpiTables.Build(Full).Length));
        using var tiny = new BootMemory(64 << 10);
        Assert.Throws<InvalidOperationException>(() => AcpiTables.Write(Full, tiny.Table));
    }

    [Fact]
    public void The_fadt_says_hardware_reduced_and_where_power_and_reset_are()
    {
        byte[] fadt = Walk(Full)["FACP"];
        Assert.Equal((276, 6, 3), (fadt.Length, fadt[8], fadt[131]));
        uint flags = BitConverter.ToUInt32(fadt, 112);
        Assert.Equal((1u << 20) | (1u << 10) | (1u << 5) | (1u << 4) | 1, flags);
        Assert.Equal(0x34, BitConverter.ToUInt16(fadt, 109)); // no VGA, no ASPM, no CMOS clock, no keyboard controller
        Assert.Equal((1, 8, (ulong)AddressMap.ResetPort, 1), (fadt[116], fadt[117], BitConverter.ToUInt64(fadt, 120), fadt[128]));
        Assert.Equal((1, (ulong)AddressMap.SleepPort), (fadt[244], BitConverter.ToUInt64(fadt, 248)));
        Assert.Equal((1, AddressMap.SleepPort + 1UL), (fadt[256], BitConverter.ToUInt64(fadt, 260)));
    }

    [Fact]
    public void The_madt_lists_the_boot_cpu_first_and_each_cpu_once()
    {
        byte[] madt = Walk(Full)["APIC"];
        Assert.Equal(0xFEE0_0000u, BitConverter.ToUInt32(madt, 36));
        List<byte[]> entries = [];
        for (int at = 44; at < madt.Length; at += madt[at + 1])
        {
            entries.Add(madt[at..(at + madt[at + 1])]);
        }

        Assert.Equal(Enumerable.Range(0, 16).Select(id => (byte)id), entries.Where(entry => entry[0] == 0).Select(entry => entry[3]));
        Assert.All(entries.Where(entry => entry[0] == 0), entry => Assert.Equal(1u, BitConverter.ToUInt32(entry, 4)));
        byte[] ioapic = Assert.Single(entries, entry => entry[0] == 1);
        Assert.Equal((0xFEC0_0000u, 0u), (BitConverter.ToUInt32(ioapic, 4), BitConverter.ToUInt32(ioapic, 8)));
        Assert.Equal(4u, BitConverter.ToUInt32(Assert.Single(entries, entry => entry[0] == 2), 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => AcpiTables.Build(new AcpiPlan { CpuCount = 256 }));
    }

    [Fact]
    public void Mcfg_names_the_one_bus()
    {
        byte[] mcfg = Walk(Full)["MCFG"];
        Assert.Equal((60, AddressMap.Ecam), (mcfg.Length, BitConverter.ToUInt64(mcfg, 44)));
        Assert.Equal((0, 0, 0), (BitConverter.ToUInt16(mcfg, 52), mcfg[54], mcfg[55]));
    }

    [Fact]
    public void What_the_plan_lacks_is_not_in_the_dsdt()
    {
        string none = Encoding.Latin1.GetString(Walk(new AcpiPlan { CpuCount = 1 })["DSDT"]);
        foreach (string name in new[] { "PCI0", "S001", "M000", "V000", "PSCN", "_PRT" })
        {
            Assert.DoesNotContain(name, none, StringComparison.Ordinal);
        }

        string all = Encoding.Latin1.GetString(Walk(Full)["DSDT"]);
        foreach (string name in new[] { "PCI0", "S001", "S01F", "M01F", "V007", "PSCN", "_PRT", "_DSM", "_S5_", "PWRB", "GED_", "COM1" })
        {
            Assert.Contains(name, all, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("S000", all, StringComparison.Ordinal);
    }

    [Fact]
    public void The_reference_disassembler_reads_the_dsdt_and_the_reference_compiler_takes_it_back()
    {
        const string Tool = "/usr/bin/iasl";
        Assert.SkipUnless(File.Exists(Tool), "iasl (package acpica-tools) is not installed");
        DirectoryInfo folder = Directory.CreateTempSubdirectory("paravane-acpi-");
        try
        {
            File.WriteAllBytes(Path.Combine(folder.FullName, "dsdt.aml"), Walk(Full)["DSDT"]);
            string read = RunTool(Tool, "-d dsdt.aml", folder.FullName);
            Assert.DoesNotContain("Error", read, StringComparison.Ordinal);
            string compiled = RunTool(Tool, "-p again dsdt.dsl", folder.FullName);
            Assert.Contains("0 Errors, 0 Warnings", compiled, StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static string RunTool(string program, string arguments, string folder)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string text = process.StandardOutput.ReadToEnd() + errors.Result;
        Assert.True(process.WaitForExit(30_000));
        return text;
    }

    /// <summary>All tables, found as a guest finds them: RSDP, XSDT, its entries, FADT's DSDT.</summary>
    private static Dictionary<string, byte[]> Walk(AcpiPlan plan)
    {
        byte[] image = AcpiTables.Build(plan);
        Assert.Equal("RSD PTR "u8, image[..8]);
        Assert.Equal((0, 0), (Sum(image[..20]), Sum(image[..36])));
        Assert.Equal((2, 36), (image[15], BitConverter.ToInt32(image, 20)));
        var tables = new Dictionary<string, byte[]>();
        byte[] xsdt = Take(BitConverter.ToUInt64(image, 24));
        for (int at = 36; at < xsdt.Length; at += 8)
        {
            _ = Take(BitConverter.ToUInt64(xsdt, at));
        }

        _ = Take(BitConverter.ToUInt64(tables["FACP"], 140));
        return tables;

        byte[] Take(ulong address)
        {
            int at = (int)(address - AddressMap.AcpiTables);
            byte[] table = image[at..(at + BitConverter.ToInt32(image, at + 4))];
            Assert.Equal(0, Sum(table));
            Assert.True(tables.TryAdd(Encoding.ASCII.GetString(table, 0, 4), table));
            return table;
        }
    }

    private static byte Sum(byte[] bytes) => unchecked((byte)bytes.Sum(value => value));
}
