using System.Buffers.Binary;
using System.Text;

namespace Paravane.Hypervisor.Acpi;

/// <summary>ACPI machine language (ACPI 6.4 §20): each method returns the bytes of one term, and terms nest as the calls do.</summary>
/// <remarks>Only what this machine's DSDT uses. Arguments are ours, so a wrong one is an <see cref="ArgumentException"/>.</remarks>
internal static class Aml
{
    /// <summary>Zero, as an integer.</summary>
    public static byte[] Zero => [0x00];

    /// <summary>An integer in its shortest form.</summary>
    public static byte[] Integer(ulong value) => value switch
    {
        0 => [0x00],
        1 => [0x01],
        <= byte.MaxValue => [0x0A, (byte)value],
        <= ushort.MaxValue => [0x0B, .. Bytes16((ushort)value)],
        <= uint.MaxValue => [0x0C, .. Bytes32((uint)value)],
        _ => [0x0E, .. Bytes64(value)],
    };

    /// <summary>A string of ASCII characters.</summary>
    public static byte[] Text(string value) => [0x0D, .. Encoding.ASCII.GetBytes(value), 0];

    /// <summary>A compressed EISA id, such as <c>PNP0501</c>.</summary>
    public static byte[] EisaId(string id)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(id.Length, 7);
        uint letters = ((uint)(id[0] - 0x40) << 26) | ((uint)(id[1] - 0x40) << 21) | ((uint)(id[2] - 0x40) << 16);
        return [0x0C, .. Bytes32(BinaryPrimitives.ReverseEndianness(letters | Convert.ToUInt32(id[3..], 16)))];
    }

    /// <summary>A buffer with these bytes.</summary>
    public static byte[] Buffer(ReadOnlySpan<byte> bytes) => [0x11, .. Packed([.. Integer((ulong)bytes.Length), .. bytes])];

    /// <summary>A package of these elements, at most 255.</summary>
    public static byte[] Package(params ReadOnlySpan<byte[]> elements) => [0x12, .. Packed([checked((byte)elements.Length), .. Join(elements)])];

    /// <summary>A name, with <c>\</c> for the root and <c>.</c> between parts; parts are filled up to four characters.</summary>
    public static byte[] Path(string path)
    {
        bool root = path.StartsWith('\\');
        string[] parts = path[(root ? 1 : 0)..].Split('.');
        byte[] prefix = parts.Length switch
        {
            1 => [],
            2 => [0x2E],
            _ => [0x2F, (byte)parts.Length],
        };
        return [.. root ? "\\"u8 : default, .. prefix, .. parts.SelectMany(Segment)];
    }

    /// <summary><c>LocalN</c>, 0 to 7.</summary>
    public static byte[] Local(int index) => [(byte)(0x60 + index)];

    /// <summary><c>ArgN</c>, 0 to 6.</summary>
    public static byte[] Arg(int index) => [(byte)(0x68 + index)];

    /// <summary><c>Name (path, value)</c>.</summary>
    public static byte[] Name(string path, byte[] value) => [0x08, .. Path(path), .. value];

    /// <summary><c>Scope (path) { … }</c>.</summary>
    public static byte[] Scope(string path, params ReadOnlySpan<byte[]> terms) => [0x10, .. Packed([.. Path(path), .. Join(terms)])];

    /// <summary><c>Device (name) { … }</c>.</summary>
    public static byte[] Device(string name, params ReadOnlySpan<byte[]> terms) => [0x5B, 0x82, .. Packed([.. Path(name), .. Join(terms)])];

    /// <summary><c>Method (name, arguments, Serialized) { … }</c>: serialized, since most create names or read registers that clear.</summary>
    public static byte[] Method(string name, int arguments, params ReadOnlySpan<byte[]> terms) =>
        [0x14, .. Packed([.. Path(name), (byte)(0x08 | arguments), .. Join(terms)])];

    /// <summary><c>OperationRegion (name, SystemMemory, offset, length)</c>.</summary>
    public static byte[] MemoryRegion(string name, ulong address, ulong lengthBytes) =>
        [0x5B, 0x80, .. Path(name), 0x00, .. Integer(address), .. Integer(lengthBytes)];

    /// <summary><c>Field (region, DWordAcc, NoLock, WriteAsZeros)</c> of consecutive fields, each a multiple of 32 bits.</summary>
    public static byte[] Fields(string region, params ReadOnlySpan<(string Name, int Bits)> fields)
    {
        const byte DWordWriteAsZeros = 0x43;
        var bytes = new List<byte>([.. Path(region), DWordWriteAsZeros]);
        foreach ((string name, int bits) in fields)
        {
            bytes.AddRange([.. Segment(name), .. Length(bits)]);
        }

        return [0x5B, 0x81, .. Packed([.. bytes])];
    }

    /// <summary><c>CreateQWordField (buffer, byte index, name)</c>.</summary>
    public static byte[] QWordField(byte[] buffer, int index, string name) => [0x8F, .. buffer, .. Integer((ulong)index), .. Path(name)];

    /// <summary><c>If (condition) { … }</c>.</summary>
    public static byte[] If(byte[] condition, params ReadOnlySpan<byte[]> terms) => [0xA0, .. Packed([.. condition, .. Join(terms)])];

    /// <summary><c>LEqual (a, b)</c>.</summary>
    public static byte[] Equal(byte[] a, byte[] b) => [0x93, .. a, .. b];

    /// <summary><c>And (a, b)</c>.</summary>
    public static byte[] And(byte[] a, byte[] b) => [0x7B, .. a, .. b, 0x00];

    /// <summary><c>Add (a, b, target)</c>.</summary>
    public static byte[] Add(byte[] a, byte[] b, byte[] target) => [0x72, .. a, .. b, .. target];

    /// <summary><c>Subtract (a, b, target)</c>.</summary>
    public static byte[] Subtract(byte[] a, byte[] b, byte[] target) => [0x74, .. a, .. b, .. target];

    /// <summary><c>Store (source, target)</c>.</summary>
    public static byte[] Store(byte[] source, byte[] target) => [0x70, .. source, .. target];

    /// <summary><c>Notify (path, value)</c>.</summary>
    public static byte[] Notify(string path, byte value) => [0x86, .. Path(path), .. Integer(value)];

    /// <summary><c>Return (value)</c>.</summary>
    public static byte[] Return(byte[] value) => [0xA4, .. value];

    /// <summary>A call of a method without arguments.</summary>
    public static byte[] Call(string path) => Path(path);

    /// <summary>Several terms one after the other.</summary>
    public static byte[] Join(params ReadOnlySpan<byte[]> terms)
    {
        var bytes = new List<byte>();
        foreach (byte[] term in terms)
        {
            bytes.AddRange(term);
        }

        return [.. bytes];
    }

    private static byte[] Segment(string name)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, 4);
        return Encoding.ASCII.GetBytes(name.PadRight(4, '_'));
    }

    /// <summary>Contents behind their PkgLength, which counts its own bytes.</summary>
    private static byte[] Packed(byte[] contents)
    {
        int extra = contents.Length switch
        {
            < 0x40 - 1 => 0,
            < 0x1000 - 2 => 1,
            < 0x10_0000 - 3 => 2,
            _ => 3,
        };
        return [.. Length(contents.Length + 1 + extra, extra), .. contents];
    }

    /// <summary>A number as PkgLength in its shortest form; as a field's width it does not count itself.</summary>
    private static byte[] Length(int value) => Length(value, value switch
    {
        < 0x40 => 0,
        < 0x1000 => 1,
        < 0x10_0000 => 2,
        _ => 3,
    });

    private static byte[] Length(int value, int extra)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(value, 0x1000_0000);
        if (extra == 0)
        {
            return [(byte)value];
        }

        byte[] bytes = new byte[1 + extra];
        bytes[0] = (byte)((extra << 6) | (value & 0xF));
        for (int i = 0; i < extra; i++)
        {
            bytes[1 + i] = (byte)(value >> (4 + (8 * i)));
        }

        return bytes;
    }

    private static byte[] Bytes16(ushort value) => [(byte)value, (byte)(value >> 8)];

    private static byte[] Bytes32(uint value) => [.. Bytes16((ushort)value), .. Bytes16((ushort)(value >> 16))];

    private static byte[] Bytes64(ulong value) => [.. Bytes32((uint)value), .. Bytes32((uint)(value >> 32))];
}
