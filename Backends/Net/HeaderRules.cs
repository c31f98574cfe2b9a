using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Backends.Net;

/// <summary>What the header of a transmitted frame may say under the negotiated features (virtio 1.2 §5.1.6.2). One per transmit queue.</summary>
internal readonly struct HeaderRules
{
    private const GsoType BaseTypes = (GsoType)0x7f;

    /// <summary>Flags by which a driver asks for something to be done to the frame.</summary>
    private const NetHeaderFlags AskingFlags = NetHeaderFlags.NeedsCsum | NetHeaderFlags.UdpTunnelCsum;

    private readonly bool _checksum;
    private readonly bool _ecn;
    private readonly bool _tcpV4;
    private readonly bool _tcpV6;
    private readonly bool _udp;

    public HeaderRules(ulong features)
    {
        HeaderBytes = HeaderBytesOf(features);
        LimitsToMtu = (features & NetFeatures.Mtu) != 0;
        _checksum = (features & NetFeatures.Csum) != 0;
        _ecn = (features & NetFeatures.HostEcn) != 0;
        _tcpV4 = (features & NetFeatures.HostTso4) != 0;
        _tcpV6 = (features & NetFeatures.HostTso6) != 0;
        _udp = (features & NetFeatures.HostUso) != 0;
    }

    /// <summary>Length of the header in both directions.</summary>
    public int HeaderBytes { get; }

    /// <summary>The driver agreed to an MTU, so that longer packets reach nobody.</summary>
    public bool LimitsToMtu { get; }

    /// <summary>Length of the header by features: the count of buffers is there from VERSION_1 or MRG_RXBUF on (virtio 1.2 §5.1.6.1).</summary>
    public static int HeaderBytesOf(ulong features) =>
        (features & (VirtioFeatures.Version1 | NetFeatures.MrgRxBuf)) != 0 ? NetHeader.SizeBytes : NetHeader.LegacySizeBytes;

    /// <summary>What nearly every frame is: one piece of memory, complete as it stands and of a legal length. Reads the two bytes that decide on that, and nothing else.</summary>
    /// <returns>False for all others, which <see cref="Read"/> looks at anew; nothing of this look counts then.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsPlain(GuestSlice chain, uint maxFrameBytes)
    {
        uint frameBytes = chain.LengthBytes - (uint)HeaderBytes; // wraps to a huge length when shorter
        return frameBytes - FrameLimits.EthernetHeaderBytes <= maxFrameBytes - FrameLimits.EthernetHeaderBytes
            && (chain.Read<ushort>() & (((uint)AskingFlags) | 0xff00)) == 0;
    }

    /// <summary>Takes a snapshot of a frame's header and checks it. What comes out holds only what was negotiated and checked.</summary>
    /// <param name="chain">Header and frame, cut anywhere.</param>
    /// <param name="maxFrameBytes">Longest frame that is not to be cut into packets.</param>
    /// <param name="header">For the receiver: one buffer, no unknown bits.</param>
    public Drop Read(BufferList chain, uint maxFrameBytes, out NetHeader header)
    {
        if (!TryRead(chain, out header))
        {
            return Drop.NoFrame;
        }

        uint frameBytes = chain.LengthBytes - (uint)HeaderBytes;
        if ((header.Flags & AskingFlags) == 0 && header.GsoType == GsoType.None)
        {
            header = NetHeader.Plain;
            return CheckLength(frameBytes, maxFrameBytes);
        }

        return CheckOffloads(ref header, frameBytes, maxFrameBytes);
    }

    private static Drop CheckLength(uint frameBytes, uint maxFrameBytes)
    {
        if (frameBytes < FrameLimits.EthernetHeaderBytes)
        {
            return frameBytes == 0 ? Drop.NoFrame : Drop.Runt;
        }

        return frameBytes > maxFrameBytes ? Drop.Oversize : Drop.None;
    }

    private bool TryRead(BufferList chain, out NetHeader header)
    {
        if (HeaderBytes == NetHeader.SizeBytes)
        {
            return chain.TryRead(0, out header);
        }

        bool read = chain.TryRead(0, out LegacyNetHeader legacy);
        header = legacy.ToCurrent();
        return read;
    }

    private Drop CheckOffloads(ref NetHeader header, uint frameBytes, uint maxFrameBytes)
    {
        bool segments = header.GsoType != GsoType.None;
        Drop length = CheckLength(frameBytes, segments ? FrameLimits.MaxBytes : maxFrameBytes);
        if (length != Drop.None)
        {
            return length;
        }

        bool needsChecksum = (header.Flags & NetHeaderFlags.NeedsCsum) != 0;
        if ((needsChecksum && !_checksum) || (header.Flags & NetHeaderFlags.UdpTunnelCsum) != 0 || (segments && !IsNegotiated(header.GsoType)))
        {
            return Drop.NotNegotiated;
        }

        // A header length is a hint and ignored, except that nobody can cut packets off headers that reach over the frame's end.
        if (!needsChecksum
            || (uint)header.CsumStart + header.CsumOffset + sizeof(ushort) > frameBytes
            || (segments && (header.GsoSize == 0 || header.HdrLen > frameBytes)))
        {
            return Drop.BadHeader;
        }

        header = segments
            ? new NetHeader(NetHeaderFlags.NeedsCsum, header.GsoType, header.HdrLen, header.GsoSize, header.CsumStart, header.CsumOffset, 1)
            : new NetHeader(NetHeaderFlags.NeedsCsum, GsoType.None, 0, 0, header.CsumStart, header.CsumOffset, 1);
        return Drop.None;
    }

    private bool IsNegotiated(GsoType type)
    {
        bool ecn = (type & GsoType.Ecn) != 0;
        return (type & BaseTypes) switch
        {
            GsoType.TcpV4 => _tcpV4 && (!ecn || _ecn),
            GsoType.TcpV6 => _tcpV6 && (!ecn || _ecn),
            GsoType.UdpL4 => _udp && !ecn,
            _ => false, // fragmentation offload and tunnels are never offered; the rest is unknown
        };
    }
}
