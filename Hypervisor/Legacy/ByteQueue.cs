namespace Paravane.Hypervisor.Legacy;

/// <summary>A bounded first-in-first-out queue of bytes. Its owner guards it.</summary>
/// <param name="capacityBytes">A power of two.</param>
internal sealed class ByteQueue(int capacityBytes)
{
    private readonly byte[] _bytes = new byte[capacityBytes];
    private uint _read, _written; // run freely; their difference is the count

    /// <summary>Bytes inside.</summary>
    public int Count => (int)unchecked(_written - _read);

    /// <summary>Adds a byte.</summary>
    /// <returns>False when it is full.</returns>
    public bool TryAdd(byte value)
    {
        if (Count == _bytes.Length)
        {
            return false;
        }

        _bytes[_written & (uint)(_bytes.Length - 1)] = value;
        unchecked
        {
            _written++;
        }

        return true;
    }

    /// <summary>Takes the oldest byte; there must be one.</summary>
    public byte Take()
    {
        byte value = _bytes[_read & (uint)(_bytes.Length - 1)];
        unchecked
        {
            _read++;
        }

        return value;
    }

    /// <summary>Takes the oldest bytes.</summary>
    /// <returns>How many.</returns>
    public int Take(Span<byte> target)
    {
        int count = Math.Min(Count, target.Length);
        for (int i = 0; i < count; i++)
        {
            target[i] = Take();
        }

        return count;
    }

    /// <summary>Drops the oldest <paramref name="count"/> bytes, or all.</summary>
    public void Drop(int count) => _read = unchecked(_read + (uint)Math.Min(count, Count));
}
