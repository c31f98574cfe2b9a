using System.Buffers.Binary;

namespace Paravane.Backends.Net;

/// <summary>The configuration space, <c>struct virtio_net_config</c> (virtio 1.2 §5.1.4). Session context, but for <see cref="TrySetMac"/>.</summary>
/// <remarks>Every field is read-only for the driver. Fields of features that are not offered are there too, with values that say nothing.</remarks>
internal sealed class NetConfigSpace
{
    /// <summary>Size in bytes, up to the end of <c>supported_tunnel_types</c>: front-ends ask for the whole struct they know.</summary>
    public const int SizeBytes = 28;

    private const int StatusOffset = 6, PairsOffset = 8, MtuOffset = 10, SpeedOffset = 12, DuplexOffset = 16;
    private const ushort LinkUp = 1; // VIRTIO_NET_S_LINK_UP
    private const uint SpeedUnknown = uint.MaxValue;
    private const byte DuplexUnknown = 0xff;

    private readonly byte[] _bytes = new byte[SizeBytes]; // without the address
    private readonly ulong _firstMac;
    private ulong _mac; // in one word: the control queue's worker changes it while the session reads

    public NetConfigSpace(ReadOnlySpan<byte> mac, int queuePairs, int mtuBytes)
    {
        _firstMac = _mac = WordOf(mac);
        BinaryPrimitives.WriteUInt16LittleEndian(_bytes.AsSpan(StatusOffset), LinkUp);
        BinaryPrimitives.WriteUInt16LittleEndian(_bytes.AsSpan(PairsOffset), (ushort)queuePairs);
        MtuBytes = mtuBytes;
        BinaryPrimitives.WriteUInt32LittleEndian(_bytes.AsSpan(SpeedOffset), SpeedUnknown);
        _bytes[DuplexOffset] = DuplexUnknown;
    }

    /// <summary>Payload of an Ethernet frame in bytes.</summary>
    public int MtuBytes
    {
        get => BinaryPrimitives.ReadUInt16LittleEndian(_bytes.AsSpan(MtuOffset));
        set => BinaryPrimitives.WriteUInt16LittleEndian(_bytes.AsSpan(MtuOffset), (ushort)value);
    }

    /// <summary>Changes the device's address to <paramref name="mac"/>, six bytes. Worker of the control queue, or session while none runs.</summary>
    /// <returns>False when it is this one already.</returns>
    public bool TrySetMac(ReadOnlySpan<byte> mac)
    {
        ulong word = WordOf(mac);
        bool differs = word != _mac; // there is one writer at a time
        Volatile.Write(ref _mac, word);
        return differs;
    }

    /// <summary>Copies the space from <paramref name="offset"/> on; bytes past its end are left alone.</summary>
    public void Read(int offset, Span<byte> destination)
    {
        ReadOnlySpan<byte> rest = _bytes.AsSpan(offset);
        rest[..Math.Min(rest.Length, destination.Length)].CopyTo(destination);
        if (offset < MacAddress.Bytes)
        {
            Span<byte> mac = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(mac, Volatile.Read(ref _mac));
            int end = Math.Min(MacAddress.Bytes, offset + destination.Length);
            mac[offset..end].CopyTo(destination);
        }
    }

    /// <summary>The address of the beginning.</summary>
    public void Reset() => Volatile.Write(ref _mac, _firstMac);

    /// <summary>What a migration restores has to be what this device says anyway, the address excepted: that one moves with the guest.</summary>
    /// <returns>Null, or a sentence that names the field.</returns>
    public string? TryWrite(int offset, ReadOnlySpan<byte> source, bool restoring)
    {
        if (!restoring)
        {
            return "the configuration space of a network device is read-only";
        }

        int macBytes = Math.Clamp(MacAddress.Bytes - offset, 0, source.Length);
        if (!source[macBytes..].SequenceEqual(_bytes.AsSpan(offset + macBytes, source.Length - macBytes)))
        {
            return "status, max_virtqueue_pairs, mtu, speed or duplex differ from this device's";
        }

        if (macBytes != 0)
        {
            Span<byte> mac = stackalloc byte[MacAddress.Bytes];
            Read(0, mac);
            source[..macBytes].CopyTo(mac[offset..]);
            _ = TrySetMac(mac);
        }

        return null;
    }

    private static ulong WordOf(ReadOnlySpan<byte> mac)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        word.Clear();
        mac.CopyTo(word);
        return BinaryPrimitives.ReadUInt64LittleEndian(word);
    }
}
