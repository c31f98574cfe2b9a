using System.Buffers.Binary;

namespace Paravane.Hypervisor.Acpi;

/// <summary>Resource descriptors (ACPI 6.4 §6.4) and the templates that hold them.</summary>
internal static class Resource
{
    private const byte MemoryType = 0, BusType = 2;
    private const byte FixedProducer = 0x0C, FixedConsumer = 0x0D; // minimum and maximum fixed, positive decode
    private const byte ReadWrite = 0x01, ReadWriteCacheable = 0x03;

    /// <summary>Offset of the minimum in what <see cref="Memory64"/> returns.</summary>
    public const int Memory64Minimum = 14;

    /// <summary>Offset of the maximum in what <see cref="Memory64"/> returns.</summary>
    public const int Memory64Maximum = 22;

    /// <summary>Offset of the length in what <see cref="Memory64"/> returns.</summary>
    public const int Memory64Length = 38;

    /// <summary>A buffer of descriptors, closed by an end tag without checksum.</summary>
    public static byte[] Template(params ReadOnlySpan<byte[]> descriptors) => Aml.Buffer(Aml.Join([.. descriptors, [0x79, 0x00]]));

    /// <summary>I/O ports at a fixed place, decoded in 16 bits.</summary>
    public static byte[] Ports(ushort first, byte count)
    {
        byte[] bytes = [0x47, 0x01, 0, 0, 0, 0, 0x01, count];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2), first);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), first);
        return bytes;
    }

    /// <summary>Memory at a fixed place below 4 GiB, writable.</summary>
    public static byte[] FixedMemory(ulong address, ulong lengthBytes)
    {
        byte[] bytes = [0x86, 0x09, 0x00, 0x01, 0, 0, 0, 0, 0, 0, 0, 0];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), checked((uint)address));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), checked((uint)lengthBytes));
        return bytes;
    }

    /// <summary>One interrupt, active high, not shared.</summary>
    /// <param name="gsi">Global system interrupt.</param>
    /// <param name="edge">Edge-triggered; level-triggered otherwise.</param>
    public static byte[] Interrupt(int gsi, bool edge)
    {
        byte[] bytes = [0x89, 0x06, 0x00, (byte)(edge ? 0x03 : 0x01), 0x01, 0, 0, 0, 0];
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(5), gsi);
        return bytes;
    }

    /// <summary>PCI bus numbers behind a root.</summary>
    public static byte[] Buses(ushort first, ushort last)
    {
        byte[] bytes = [0x88, 0x0D, 0x00, BusType, FixedProducer, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), first);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(10), last);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(14), checked((ushort)(last - first + 1)));
        return bytes;
    }

    /// <summary>A window that a PCI root passes on, below 4 GiB.</summary>
    public static byte[] Window32(ulong start, ulong end)
    {
        byte[] bytes = [0x87, 0x17, 0x00, MemoryType, FixedProducer, ReadWrite, .. new byte[20]];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(10), checked((uint)start));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(14), checked((uint)(end - 1)));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(22), checked((uint)(end - start)));
        return bytes;
    }

    /// <summary>A window that a PCI root passes on, anywhere.</summary>
    public static byte[] Window64(ulong start, ulong end) => Address64(FixedProducer, ReadWrite, start, end - 1, end - start);

    /// <summary>RAM of a memory device; its numbers are filled in when it is asked for.</summary>
    public static byte[] Memory64() => Address64(FixedConsumer, ReadWriteCacheable, 0, 0xFFF, 0x1000);

    private static byte[] Address64(byte flags, byte typeFlags, ulong minimum, ulong maximum, ulong length)
    {
        byte[] bytes = [0x8A, 0x2B, 0x00, MemoryType, flags, typeFlags, .. new byte[40]];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(Memory64Minimum), minimum);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(Memory64Maximum), maximum);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(Memory64Length), length);
        return bytes;
    }
}
