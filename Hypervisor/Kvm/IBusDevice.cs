namespace Paravane.Hypervisor.Kvm;

/// <summary>Something that answers the guest's accesses to a range of ports or of memory which is not RAM.</summary>
/// <remarks>
/// Called on vCPU threads, several at a time: a device guards its own state, for moments only. Size, offset and order of accesses are the
/// guest's choice (threats H5): everything is legal to ask, nothing throws. What a device does not know reads as all ones and ignores writes.
/// </remarks>
internal interface IBusDevice
{
    /// <summary>Answers a read by filling <paramref name="data"/>.</summary>
    /// <param name="offset">Bytes from the start of the range; the whole access lies inside the range.</param>
    /// <param name="data">1, 2, 4 or 8 bytes, little-endian; pieces of odd accesses may have any length from 1 to 8.</param>
    void Read(ulong offset, Span<byte> data);

    /// <summary>Takes a write.</summary>
    /// <param name="offset">Bytes from the start of the range; the whole access lies inside the range.</param>
    /// <param name="data">As for <see cref="Read"/>.</param>
    void Write(ulong offset, ReadOnlySpan<byte> data);
}
