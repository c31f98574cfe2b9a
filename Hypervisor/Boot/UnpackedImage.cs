using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Boot;

/// <summary>A kernel as it came out of its bzImage. Lives outside the garbage-collected heap, and only while it is being loaded.</summary>
/// <remarks>One thread.</remarks>
internal sealed unsafe class UnpackedImage : IByteSource, IDisposable
{
    private readonly Mapping _bytes;

    /// <summary>Takes room for <paramref name="lengthBytes"/>, not 0, zeroed.</summary>
    public UnpackedImage(string name, uint lengthBytes)
    {
        Name = name;
        LengthBytes = lengthBytes;
        _bytes = Mapping.Anonymous(lengthBytes);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public ulong LengthBytes { get; }

    /// <summary>All bytes; good while this is not disposed.</summary>
    // SAFETY: the mapping is as long as LengthBytes, which is at most MaxBytes of Unpacker and so fits an int.
    public Span<byte> Bytes => new(_bytes.Address, (int)LengthBytes);

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> target)
    {
        if (offset > LengthBytes || (ulong)target.Length > LengthBytes - offset)
        {
            throw new BootException($"{Name} is cut off: it ends at byte 0x{LengthBytes:x}");
        }

        Bytes.Slice((int)offset, target.Length).CopyTo(target);
    }

    /// <inheritdoc/>
    public void Dispose() => _bytes.Dispose();
}
