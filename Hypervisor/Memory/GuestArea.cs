using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Memory;

/// <summary>A piece of <see cref="GuestRam"/>: where the device sees it and where this process does.</summary>
/// <param name="guest">First guest address.</param>
/// <param name="host">First byte here; good while the guest memory is not disposed.</param>
/// <param name="lengthBytes">Length in bytes.</param>
public readonly unsafe struct GuestArea(GuestAddress guest, byte* host, uint lengthBytes)
{
    /// <summary>First guest address.</summary>
    public GuestAddress Guest { get; } = guest;

    /// <summary>First byte in this process.</summary>
    public byte* Host { get; } = host;

    /// <summary>Length in bytes.</summary>
    public uint LengthBytes { get; } = lengthBytes;

    /// <summary>The bytes, for payloads; not for fields that the device writes concurrently.</summary>
    public Span<byte> AsSpan() => new(Host, checked((int)LengthBytes));

    /// <summary>A part of the area.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The part is not inside.</exception>
    public GuestArea Slice(uint offsetBytes, uint lengthBytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offsetBytes, LengthBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(lengthBytes, LengthBytes - offsetBytes);
        return new GuestArea(new GuestAddress(Guest.Value + offsetBytes), Host + offsetBytes, lengthBytes);
    }
}
