using System.Buffers.Binary;
using System.Text;
using Paravane.Hypervisor.Legacy;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Acpi;

/// <summary>
/// The guest's firmware tables: RSDP, XSDT, FADT, MADT, MCFG, DSDT. Hardware-reduced (ACPI 6.4 §4.1): no PM timer, no fixed event registers, no PIT and PIC for
/// the guest to find and calibrate; power, reset and events go through a few registers of ours.
/// </summary>
internal static class AcpiTables
{
    private const int HeaderBytes = 36, RsdpBytes = 36, RsdpFirstBytes = 20, FadtBytes = 276;
    private const ulong Alignment = 64;

    /// <summary>Builds the tables and writes them behind <see cref="AddressMap.AcpiTables"/>.</summary>
    /// <returns>Address of the RSDP.</returns>
    /// <exception cref="InvalidOperationException">The plan has so many devices that the tables do not fit, or memory ends below them.</exception>
    public static ulong Write(AcpiPlan plan, GuestMemory memory)
    {
        byte[] image = Build(plan);
        if (!memory.TryWrite(new GuestAddress(AddressMap.AcpiTables), image))
        {
            throw new InvalidOperationException($"guest memory ends before the ACPI tables, 0x{AddressMap.AcpiTables:x} and 0x{image.Length:x} bytes on");
        }

        return AddressMap.AcpiTables;
    }

    /// <summary>All tables as they lie from <see cref="AddressMap.AcpiTables"/> on, the RSDP first.</summary>
    /// <exception cref="InvalidOperationException">They do not fit below <see cref="AddressMap.HighMemory"/>.</exception>
    public static byte[] Build(AcpiPlan plan)
    {
        var image = new List<byte>(new byte[RsdpBytes]);
        ulong Place(byte[] table)
        {
            ulong address = (AddressMap.AcpiTables + (ulong)image.Count + Alignment - 1) & ~(Alignment - 1);
            image.AddRange(new byte[address - AddressMap.AcpiTables - (ulong)image.Count]);
            image.AddRange(table);
            return address;
        }

        ulong dsdt = Place(Table("DSDT", 2, Dsdt.Build(plan)));
        List<ulong> entries = [Place(Fadt(dsdt)), Place(Madt(plan.CpuCount))];
        if (plan.HasPci)
        {
            entries.Add(Place(Mcfg()));
        }

        byte[] list = new byte[sizeof(ulong) * entries.Count];
        for (int i = 0; i < entries.Count; i++)
        {
            Put64(list, i * sizeof(ulong), entries[i]);
        }

        ulong xsdt = Place(Table("XSDT", 1, list));
        byte[] all = [.. image];
        Rsdp(xsdt).CopyTo(all, 0);
        return (ulong)all.Length <= AddressMap.HighMemory - AddressMap.AcpiTables
            ? all
            : throw new InvalidOperationException($"the ACPI tables have 0x{all.Length:x} bytes: too many devices");
    }

    private static byte[] Rsdp(ulong xsdt)
    {
        byte[] table = new byte[RsdpBytes];
        "RSD PTR "u8.CopyTo(table);
        OemId.CopyTo(table.AsSpan(9));
        table[15] = 2; // revision
        BinaryPrimitives.WriteInt32LittleEndian(table.AsSpan(20), RsdpBytes);
        Put64(table, 24, xsdt);
        table[8] = ChecksumOf(table.AsSpan(0, RsdpFirstBytes));
        table[32] = ChecksumOf(table);
        return table;
    }

    private static byte[] Fadt(ulong dsdt)
    {
        const ushort NoVga = 1 << 2, NoAspm = 1 << 4, NoCmosClock = 1 << 5;
        const uint WriteBackInvalidate = 1 << 0, NoFixedPowerButton = 1 << 4, NoFixedSleepButton = 1 << 5, ResetRegister = 1 << 10, HardwareReduced = 1 << 20;
        byte[] body = new byte[FadtBytes - HeaderBytes];
        Span<byte> At(int offset) => body.AsSpan(offset - HeaderBytes);

        // The bit of the keyboard controller stays 0, and so Linux does not spend its time on looking for a keyboard; restarting through it works all the same.
        BinaryPrimitives.WriteUInt16LittleEndian(At(109), NoVga | NoAspm | NoCmosClock);
        BinaryPrimitives.WriteUInt32LittleEndian(At(112), WriteBackInvalidate | NoFixedPowerButton | NoFixedSleepButton | ResetRegister | HardwareReduced);
        PutPort(At(116), AddressMap.ResetPort);
        At(128)[0] = PowerControl.ResetValue;
        At(131)[0] = 3; // minor version: ACPI 6.3
        BinaryPrimitives.WriteUInt64LittleEndian(At(140), dsdt);
        PutPort(At(244), AddressMap.SleepPort);
        PutPort(At(256), AddressMap.SleepPort + 1);
        "PARAVANE"u8.CopyTo(At(268));
        return Table("FACP", 6, body);
    }

    private static byte[] Madt(int cpuCount)
    {
        const int MaxCpus = 255; // local APIC ids 0 to 254
        ArgumentOutOfRangeException.ThrowIfLessThan(cpuCount, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(cpuCount, MaxCpus);
        var body = new List<byte>([.. Bytes32((uint)AddressMap.LocalApic), 0, 0, 0, 0]);
        for (int id = 0; id < cpuCount; id++)
        {
            body.AddRange([0, 8, (byte)id, (byte)id, 1, 0, 0, 0]);
        }

        body.AddRange([1, 12, 0, 0, .. Bytes32((uint)AddressMap.IoApic), 0, 0, 0, 0]);

        // Where there is no PIC, Linux learns only from an override that ISA interrupt 4 is GSI 4: edge, active high.
        body.AddRange([2, 10, 0, AddressMap.SerialGsi, AddressMap.SerialGsi, 0, 0, 0, 0, 0]);
        body.AddRange([4, 6, 0xFF, 0, 0, 1]); // NMI: LINT1 of every local APIC
        return Table("APIC", 5, [.. body]);
    }

    private static byte[] Mcfg()
    {
        const ulong BusBytes = 1 << 20;
        byte[] body = new byte[8 + 16];
        Put64(body, 8, AddressMap.Ecam);
        body[8 + 11] = (byte)((AddressMap.EcamBytes / BusBytes) - 1); // last bus
        return Table("MCFG", 1, body);
    }

    private static ReadOnlySpan<byte> OemId => "PARAVN"u8;

    /// <summary>A table: header, body, checksum.</summary>
    private static byte[] Table(string signature, byte revision, byte[] body)
    {
        byte[] table = new byte[HeaderBytes + body.Length];
        Encoding.ASCII.GetBytes(signature).CopyTo(table, 0);
        BinaryPrimitives.WriteInt32LittleEndian(table.AsSpan(4), table.Length);
        table[8] = revision;
        OemId.CopyTo(table.AsSpan(10));
        "PARAVANE"u8.CopyTo(table.AsSpan(16));
        BinaryPrimitives.WriteInt32LittleEndian(table.AsSpan(24), 1);
        "PRVN"u8.CopyTo(table.AsSpan(28));
        BinaryPrimitives.WriteInt32LittleEndian(table.AsSpan(32), 1);
        body.CopyTo(table, HeaderBytes);
        table[9] = ChecksumOf(table);
        return table;
    }

    /// <summary>What makes the sum of all bytes 0, where the checksum itself still is 0.</summary>
    private static byte ChecksumOf(ReadOnlySpan<byte> bytes)
    {
        byte sum = 0;
        foreach (byte value in bytes)
        {
            sum = unchecked((byte)(sum + value));
        }

        return unchecked((byte)-sum);
    }

    /// <summary>Generic address structure of one 8-bit I/O port.</summary>
    private static void PutPort(Span<byte> target, ushort port)
    {
        const byte SystemIo = 1, Bits = 8, ByteAccess = 1;
        target[0] = SystemIo;
        target[1] = Bits;
        target[3] = ByteAccess;
        BinaryPrimitives.WriteUInt64LittleEndian(target[4..], port);
    }

    private static void Put64(byte[] table, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(table.AsSpan(offset), value);

    private static byte[] Bytes32(uint value) => [(byte)value, (byte)(value >> 8), (byte)(value >> 16), (byte)(value >> 24)];
}
