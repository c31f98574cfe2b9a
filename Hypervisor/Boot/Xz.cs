using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Boot;

/// <summary>The system's own xz library, loaded when a kernel needs it. It frees its dictionary; a decoder in the managed heap would keep it for good.</summary>
internal static unsafe partial class Xz
{
    private const string Library = "liblzma.so.5";

    /// <summary>Dictionary and state: kernels are packed with 32 MiB at most, and a bad image must not ask for more than this.</summary>
    private const ulong MemoryLimitBytes = 256 << 20;

    private const int Ok = 0; // LZMA_OK

    /// <summary>Unpacks one stream.</summary>
    /// <returns>Bytes that came out.</returns>
    /// <exception cref="InvalidDataException">It is damaged, or longer than <paramref name="target"/>.</exception>
    /// <exception cref="BootException">The library is not installed.</exception>
    public static int Decode(ReadOnlySpan<byte> packed, Span<byte> target)
    {
        ulong limit = MemoryLimitBytes;
        nuint read = 0, written = 0;
        try
        {
            // SAFETY: both spans are pinned, and the call keeps to their lengths.
            fixed (byte* source = packed, room = target)
            {
                int result = DecodeStream(&limit, 0, null, source, &read, (nuint)packed.Length, room, &written, (nuint)target.Length);
                return result == Ok ? (int)written : throw new InvalidDataException($"{Library} says {result}");
            }
        }
        catch (DllNotFoundException)
        {
            throw new BootException($"the kernel is compressed with xz, and {Library} (Debian: liblzma5) is not installed");
        }
    }

    /// <summary><c>lzma_stream_buffer_decode</c>.</summary>
    [LibraryImport(Library, EntryPoint = "lzma_stream_buffer_decode")]
    private static partial int DecodeStream(
        ulong* memoryLimit, uint flags, void* allocator, byte* source, nuint* sourceAt, nuint sourceBytes, byte* target, nuint* targetAt, nuint targetBytes);
}
