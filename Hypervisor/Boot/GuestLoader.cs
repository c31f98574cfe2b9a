using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Boot;

/// <summary>Writes into guest memory before the guest runs, by guest physical address.</summary>
/// <param name="memory">The table; its owner keeps it alive.</param>
internal readonly struct GuestLoader(GuestMemory memory)
{
    /// <summary>Written at once; a slice's span cannot be longer than 2 GiB.</summary>
    private const uint PieceBytes = 64 << 20;

    /// <summary>Copies <paramref name="lengthBytes"/> of <paramref name="source"/>, from <paramref name="offset"/> on, to <paramref name="address"/>.</summary>
    /// <exception cref="BootException">The range is not RAM, or the source fails.</exception>
    public void Copy(IByteSource source, ulong offset, ulong lengthBytes, ulong address)
    {
        for (ulong done = 0; done < lengthBytes;)
        {
            Span<byte> piece = Translate(address + done, (uint)Math.Min(lengthBytes - done, PieceBytes));
            source.Read(offset + done, piece);
            done += (ulong)piece.Length;
        }
    }

    /// <summary>Zeroes a range.</summary>
    /// <exception cref="BootException">The range is not RAM.</exception>
    public void Clear(ulong address, ulong lengthBytes)
    {
        for (ulong done = 0; done < lengthBytes;)
        {
            Span<byte> piece = Translate(address + done, (uint)Math.Min(lengthBytes - done, PieceBytes));
            piece.Clear();
            done += (ulong)piece.Length;
        }
    }

    /// <summary>Writes bytes.</summary>
    /// <exception cref="BootException">The range is not RAM.</exception>
    public void Write(ulong address, ReadOnlySpan<byte> bytes) => bytes.CopyTo(Translate(address, (uint)bytes.Length));

    /// <summary>Writes a wire struct.</summary>
    /// <exception cref="BootException">The range is not RAM.</exception>
    public void Write<T>(ulong address, in T value)
        where T : unmanaged => Write(address, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));

    private Span<byte> Translate(ulong address, uint lengthBytes) => memory.TryTranslate(new GuestAddress(address), lengthBytes, out GuestSlice slice)
        ? slice.AsSpan()
        : throw new BootException($"guest memory has no RAM from 0x{address:x} for 0x{lengthBytes:x} bytes");
}
