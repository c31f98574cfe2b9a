using System.Buffers.Binary;
using System.IO.Compression;
using K4os.Compression.LZ4;
using ZstdSharp;

namespace Paravane.Hypervisor.Boot;

/// <summary>Unpacks the kernel inside a bzImage: gzip, LZ4 (legacy frames), zstd and xz, told apart by their first bytes.</summary>
internal static class Unpacker
{
    /// <summary>Largest kernel that is unpacked: several times the size of any real one, and a bound for what a bad image can make us allocate.</summary>
    public const uint MaxBytes = 512 << 20;

    private const uint Lz4LegacyMagic = 0x184C2102, ZstdMagic = 0xFD2FB528;

    /// <summary>Of one LZ4 legacy block, unpacked.</summary>
    private const int MaxLz4BlockBytes = 8 << 20;

    private static ReadOnlySpan<byte> GzipMagic => [0x1F, 0x8B];

    private static ReadOnlySpan<byte> XzMagic => [0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0];

    /// <summary>Unpacks <paramref name="packed"/>.</summary>
    /// <param name="name">Begins the message of an error.</param>
    /// <param name="packed">A bzImage's payload: compressed bytes, and behind them (for gzip, as their last part) the unpacked length.</param>
    /// <returns>The unpacked kernel, to be disposed.</returns>
    /// <exception cref="BootException">The compression is not known, or the bytes are damaged.</exception>
    public static UnpackedImage Unpack(string name, ReadOnlySpan<byte> packed)
    {
        if (packed.Length < 2 * sizeof(uint))
        {
            throw new BootException($"{name}: the compressed kernel inside has only {packed.Length} bytes");
        }

        ReadOnlySpan<byte> frame = packed[..^sizeof(uint)];
        (string format, UnpackMethod method) = FormatOf(name, packed);
        uint lengthBytes = BinaryPrimitives.ReadUInt32LittleEndian(packed[^sizeof(uint)..]);
        if (lengthBytes is 0 or > MaxBytes)
        {
            throw new BootException($"{name}: the kernel inside claims 0x{lengthBytes:x} bytes; 1 to 0x{MaxBytes:x} are sensible");
        }

        var image = new UnpackedImage(name, lengthBytes);
        try
        {
            // The trailer is part of a gzip stream; the other formats end before it.
            int count = method(method == Gzip ? packed : frame, image.Bytes);
            return count == image.Bytes.Length
                ? image
                : throw new BootException($"{name}: the {format}-compressed kernel inside is damaged: 0x{count:x} bytes of 0x{lengthBytes:x} came out");
        }
        catch (Exception failure)
        {
            image.Dispose();
            if (failure is BootException)
            {
                throw;
            }

            // Whatever a decoder throws for bad input: the image is not trusted and each library has exceptions of its own.
            throw new BootException($"{name}: the {format}-compressed kernel inside is damaged", failure);
        }
    }

    private delegate int UnpackMethod(ReadOnlySpan<byte> packed, Span<byte> target);

    private static (string Format, UnpackMethod Method) FormatOf(string name, ReadOnlySpan<byte> packed)
    {
        if (packed.StartsWith(GzipMagic))
        {
            return ("gzip", Gzip);
        }

        if (packed.StartsWith(XzMagic))
        {
            return ("xz", Xz.Decode);
        }

        return BinaryPrimitives.ReadUInt32LittleEndian(packed) switch
        {
            Lz4LegacyMagic => ("LZ4", Lz4),
            ZstdMagic => ("zstd", Zstd),
            _ => throw new BootException(
                $"{name}: the kernel inside is compressed in an unknown way (first bytes {Convert.ToHexString(packed[..6])}); gzip, LZ4, zstd and xz are known"),
        };
    }

    private static unsafe int Gzip(ReadOnlySpan<byte> packed, Span<byte> target)
    {
        // SAFETY: the stream reads inside the pinned span and is gone before it is released.
        fixed (byte* pointer = packed)
        {
            using var bytes = new UnmanagedMemoryStream(pointer, packed.Length);
            using var stream = new GZipStream(bytes, CompressionMode.Decompress);
            return stream.ReadAtLeast(target, target.Length, throwOnEndOfStream: false);
        }
    }

    private static int Zstd(ReadOnlySpan<byte> packed, Span<byte> target)
    {
        using var decoder = new Decompressor();
        return decoder.Unwrap(packed, target);
    }

    private static int Lz4(ReadOnlySpan<byte> packed, Span<byte> target)
    {
        int done = 0;
        for (ReadOnlySpan<byte> rest = packed[sizeof(uint)..]; !rest.IsEmpty;)
        {
            if (rest.Length < sizeof(uint))
            {
                throw new InvalidDataException("a block's length is cut off");
            }

            uint length = BinaryPrimitives.ReadUInt32LittleEndian(rest);
            rest = rest[sizeof(uint)..];
            if (length == Lz4LegacyMagic)
            {
                continue; // another frame
            }

            if (length > rest.Length)
            {
                throw new InvalidDataException($"a block of 0x{length:x} bytes is cut off");
            }

            Span<byte> room = target[done..Math.Min(target.Length, done + MaxLz4BlockBytes)];
            int count = LZ4Codec.Decode(rest[..(int)length], room);
            if (count < 0)
            {
                throw new InvalidDataException("a block is not LZ4");
            }

            done += count;
            rest = rest[(int)length..];
        }

        return done;
    }
}
