using System.Buffers.Binary;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Boot;

/// <summary>A Linux bzImage: its setup header, checked, and the compressed kernel inside. The code that would unpack it in the guest is not used.</summary>
internal sealed class BzImage
{
    private const int SectorBytes = 512;

    private readonly IByteSource _source;
    private readonly ulong _payloadAt;
    private readonly uint _payloadBytes;

    private BzImage(IByteSource source, byte[] header, ulong payloadAt, uint payloadBytes)
    {
        _source = source;
        Header = header;
        _payloadAt = payloadAt;
        _payloadBytes = payloadBytes;
    }

    /// <summary>The bytes from <see cref="SetupHeader.Start"/> on that go into the zero page.</summary>
    public byte[] Header { get; }

    /// <summary>Longest command line in bytes, without the zero byte.</summary>
    public uint CommandLineMaxBytes => Field32(SetupHeader.CommandLineMaxBytes);

    /// <summary>Highest address that a byte of the initrd may have.</summary>
    public uint InitrdMaxAddress => Field32(SetupHeader.InitrdMaxAddress);

    /// <summary>End of what the kernel uses before it knows the memory map, when it is where it prefers to be.</summary>
    public ulong InitEnd
    {
        get
        {
            ulong preferred = BinaryPrimitives.ReadUInt64LittleEndian(Header.AsSpan(SetupHeader.PreferredAddress - SetupHeader.Start));
            return preferred <= uint.MaxValue ? preferred + Field32(SetupHeader.InitBytes) : 0;
        }
    }

    /// <summary>True when <paramref name="first"/> is the beginning of an x86 Linux image.</summary>
    /// <param name="first">The first page of a file, or all of it.</param>
    public static bool IsBzImage(ReadOnlySpan<byte> first) =>
        first.Length >= SetupHeader.Magic + sizeof(uint)
        && BinaryPrimitives.ReadUInt16LittleEndian(first[SetupHeader.BootFlag..]) == SetupHeader.BootFlagValue
        && BinaryPrimitives.ReadUInt32LittleEndian(first[SetupHeader.Magic..]) == SetupHeader.MagicValue;

    /// <summary>Parses <paramref name="source"/>, which stays in use for <see cref="Unpack"/>.</summary>
    /// <param name="source">The file.</param>
    /// <param name="first">Its first page.</param>
    /// <exception cref="BootException">It is too old, for another architecture, or damaged.</exception>
    public static BzImage Parse(IByteSource source, ReadOnlySpan<byte> first)
    {
        if (first.Length < SetupHeader.PageBytes)
        {
            throw new BootException($"{source.Name} is cut off: {first.Length} bytes are less than a bzImage's header");
        }

        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(first[SetupHeader.Version..]);
        if (version < SetupHeader.OldestVersion)
        {
            throw new BootException($"{source.Name} is too old: boot protocol {version >> 8}.{version & 0xFF:d2}; {SetupHeader.OldestVersion >> 8}.{SetupHeader.OldestVersion & 0xFF} or later is needed");
        }

        if ((first[SetupHeader.ExtendedLoadFlags] & 1) == 0)
        {
            throw new BootException($"{source.Name} is for another architecture: a 32-bit x86 kernel; x86-64 is needed");
        }

        ulong setupSectors = first[SetupHeader.Start] == 0 ? 4UL : first[SetupHeader.Start];
        uint offset = BinaryPrimitives.ReadUInt32LittleEndian(first[SetupHeader.PayloadOffset..]);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(first[SetupHeader.PayloadBytes..]);
        ulong at = ((setupSectors + 1) * SectorBytes) + offset;
        if (length == 0 || at > source.LengthBytes || length > source.LengthBytes - at)
        {
            throw new BootException(
                $"{source.Name} is cut off: the compressed kernel should be 0x{length:x} bytes from 0x{at:x} on, and the file ends at 0x{source.LengthBytes:x}");
        }

        if (length > Unpacker.MaxBytes)
        {
            throw new BootException($"{source.Name}: the compressed kernel has 0x{length:x} bytes; at most 0x{Unpacker.MaxBytes:x} are sensible");
        }

        int end = Math.Min(SetupHeader.Magic + first[SetupHeader.JumpDistance], SetupHeader.End);
        return new BzImage(source, first[SetupHeader.Start..Math.Max(end, SetupHeader.InitBytes + sizeof(uint))].ToArray(), at, length);
    }

    /// <summary>Unpacks the kernel.</summary>
    /// <returns>An ELF file, if the image is good; to be disposed.</returns>
    /// <exception cref="BootException">The compression is not known, or the bytes are damaged.</exception>
    public unsafe UnpackedImage Unpack()
    {
        using Mapping packed = Mapping.Anonymous(_payloadBytes);

        // SAFETY: the mapping is as long as the payload, which fits an int by the check in Parse.
        var bytes = new Span<byte>(packed.Address, (int)_payloadBytes);
        _source.Read(_payloadAt, bytes);
        return Unpacker.Unpack(_source.Name, bytes);
    }

    private uint Field32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(Header.AsSpan(offset - SetupHeader.Start));
}
