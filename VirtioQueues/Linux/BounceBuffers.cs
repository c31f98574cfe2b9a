using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Linux;

/// <summary>Page-aligned buffers between direct I/O and guest pieces that it cannot take.</summary>
/// <remarks>Worker thread only. Memory is used from the first rent on.</remarks>
public sealed unsafe class BounceBuffers : IDisposable
{
    /// <summary>Length of each buffer in bytes.</summary>
    public const uint BufferBytes = 64 << 10;

    /// <summary>Number of buffers.</summary>
    public const int Count = 16;

    private const uint ListBytes = 4096;

    private readonly Mapping _mapping = Mapping.Anonymous(ListBytes + ((nuint)Count * BufferBytes));
    private uint _free = (1u << Count) - 1;

    /// <summary>True while <see cref="TryRent"/> has one.</summary>
    public bool HasFree => _free != 0;

    /// <summary>Buffer <paramref name="index"/>, one piece.</summary>
    public BufferList this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count);
            GuestBuffer* list = (GuestBuffer*)_mapping.Address + index;
            *list = new GuestBuffer { Host = _mapping.Address + ListBytes + ((nuint)index * BufferBytes), LengthBytes = BufferBytes };
            return new BufferList(list, 1, BufferBytes);
        }
    }

    /// <summary>Takes a buffer.</summary>
    public bool TryRent(out int index)
    {
        index = System.Numerics.BitOperations.TrailingZeroCount(_free);
        if (_free == 0)
        {
            return false;
        }

        _free &= _free - 1;
        return true;
    }

    /// <summary>Gives a buffer back.</summary>
    public void Return(int index) => _free |= 1u << index;

    /// <inheritdoc/>
    public void Dispose() => _mapping.Dispose();
}
