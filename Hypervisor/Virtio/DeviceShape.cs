using System.Buffers.Binary;
using System.Numerics;
using Paravane.Hypervisor.Frontend;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Virtio;

/// <summary>What the guest is shown of a back-end: features, queues and configuration, fixed for the device's life and sane whatever a back-end says (threats H4).</summary>
/// <remarks>Immutable. Any thread.</remarks>
internal sealed class DeviceShape
{
    /// <summary>vhost-user names vrings in one byte (SET_VRING_KICK).</summary>
    private const int MaxQueues = 256;

    private const int MaxPairs = 127; // two rings each and the control queue

    /// <summary>Bits that belong to rings and transport (virtio 1.2 §2.2).</summary>
    private const ulong TransportBits = ((1UL << 50) - 1) & ~((1UL << 24) - 1);

    /// <summary>
    /// Of those, the ones that a back-end serves without any help from here. Not LOG_ALL, which is this side's own, nor PROTOCOL_FEATURES; not ACCESS_PLATFORM,
    /// which needs an IOMMU; not NOTIFICATION_DATA, which eventfds cannot carry.
    /// </summary>
    private const ulong PassedOn = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | VirtioFeatures.RingPacked
        | VirtioFeatures.InOrder | VirtioFeatures.RingReset;

    // Configuration of a network device (virtio 1.2 §5.1.4) and of a block device (§5.2.4), offsets in bytes.
    private const int NetMacBytes = 6, NetStatus = 6, NetPairs = 8, NetMtu = 10, NetShortBytes = 12, NetLongBytes = 24;
    private const int BlockSize = 20, BlockWriteback = 32, BlockQueues = 34, BlockBytes = 60;
    private const ushort LinkUp = 1, Announce = 2; // VIRTIO_NET_S_*
    private const int MinMtu = 68;

    /// <summary>Sectors of 512 bytes whose number of bytes still fits a signed 64-bit offset.</summary>
    private const ulong MaxSectors = 1UL << 54;

    private readonly int? _controlQueue; // the guest's index of it when several pairs are negotiated
    private readonly int _controlRing; // the back-end's
    private readonly bool _isAddressFixed; // by the user

    private DeviceShape(VhostUserOptions options, VhostUserFrontend frontend)
    {
        DeviceId = options.DeviceId;
        _isAddressFixed = options.Mac is not null;
        ulong offered = frontend.OfferedFeatures & (~TransportBits | PassedOn);
        if ((offered & VirtioFeatures.Version1) == 0)
        {
            throw new FrontendException("it offers no VIRTIO_F_VERSION_1: legacy devices are not supported");
        }

        CheckType(options, offered);
        AskBytes = options.Config is null && frontend.Has(ProtocolFeatures.Config) ? options.ConfigLengthBytes ?? UsualConfigBytes(offered) : 0;
        byte[] config = options.Config ?? Ask(frontend) ?? [];
        switch (DeviceId)
        {
            case VhostUserOptions.NetDevice:
                (Features, OwnFeatures, int pairs, _controlQueue, _controlRing) = ShapeNet(options, frontend, offered, ref config);
                QueueCount = (2 * pairs) + (_controlQueue is null ? 0 : 1);
                break;
            case VhostUserOptions.BlockDevice:
                Features = offered;
                QueueCount = ShapeBlock(options, frontend, offered, config);
                break;
            default:
                Features = offered;
                QueueCount = (int)Math.Min(Rings(frontend) ?? (ulong)(options.QueueLimit ?? 1), (ulong)(options.QueueLimit ?? MaxQueues));
                break;
        }

        Config = config;
    }

    /// <summary>Virtio device id.</summary>
    public ushort DeviceId { get; }

    /// <summary>Features to offer to the guest.</summary>
    public ulong Features { get; }

    /// <summary>Those of them that are served here, by the configuration that is shown, so that the back-end need not know them.</summary>
    public ulong OwnFeatures { get; }

    /// <summary>Queues to show.</summary>
    public int QueueCount { get; }

    /// <summary>Rings of the back-end among which these are.</summary>
    public int RingCount => _controlQueue is null ? QueueCount : Math.Max(QueueCount, _controlRing + 1);

    /// <summary>Configuration at the start.</summary>
    public byte[] Config { get; }

    /// <summary>Bytes of configuration to ask the back-end for; 0: it has none to give.</summary>
    public int AskBytes { get; }

    /// <summary>Looks at a back-end for the first time.</summary>
    /// <exception cref="FrontendException">It is of another type, or lacks something; one line says what.</exception>
    public static DeviceShape Of(VhostUserOptions options, VhostUserFrontend frontend) => new(options, frontend);

    /// <summary>The back-end's configuration, or null when it has none to give.</summary>
    /// <exception cref="FrontendException">It gives less than its type has.</exception>
    public byte[]? Ask(VhostUserFrontend frontend) => AskBytes == 0 ? null : frontend.ReadConfig(0, AskBytes);

    /// <summary>The features of <paramref name="accepted"/> that the back-end has to be told of.</summary>
    public ulong FeaturesFor(VhostUserFrontend frontend, ulong accepted) => accepted & (~OwnFeatures | frontend.OfferedFeatures);

    /// <summary>The back-end's number of the guest's queue. They differ for the control queue behind fewer pairs than the back-end has.</summary>
    /// <param name="queue">The guest's index.</param>
    /// <param name="accepted">What the guest accepted: without several pairs the control queue is the third (virtio 1.2 §5.1.2).</param>
    public int RingOf(int queue, ulong accepted) =>
        IsControl(queue) && (accepted & DeviceFeatures.NetMultiQueue) != 0 ? _controlRing : queue;

    /// <summary>True for the queue by which a driver says how the others are to be used.</summary>
    /// <param name="queue">The guest's index.</param>
    public bool IsControl(int queue) => queue == _controlQueue && DeviceId == VhostUserOptions.NetDevice;

    /// <summary>Takes from a newly read configuration what a device of this type may change, where it makes sense.</summary>
    /// <param name="current">What the guest reads.</param>
    /// <param name="fresh">What the back-end says.</param>
    /// <param name="takesAddress">A network device's address counts, too: the back-end knows what the driver has chosen.</param>
    /// <returns>The new configuration; <paramref name="current"/> itself when nothing changed.</returns>
    public byte[] Merge(byte[] current, ReadOnlySpan<byte> fresh, bool takesAddress)
    {
        byte[] merged = [.. current];
        switch (DeviceId)
        {
            case VhostUserOptions.NetDevice when fresh.Length < NetShortBytes:
                break; // all of it is said here
            case VhostUserOptions.NetDevice:
                // Number of pairs and MTU are read once by drivers: the status lives, and the address, which a driver may change by command.
                if (takesAddress && !_isAddressFixed && (Features & DeviceFeatures.NetMac) != 0 && IsAddressOfOne(fresh))
                {
                    fresh[..NetMacBytes].CopyTo(merged);
                }

                ushort status = BinaryPrimitives.ReadUInt16LittleEndian(fresh[NetStatus..]);
                ushort known = (ushort)(LinkUp | ((Features & DeviceFeatures.NetAnnounce) != 0 ? Announce : 0));
                BinaryPrimitives.WriteUInt16LittleEndian(merged.AsSpan(NetStatus), (ushort)(status & known));
                break;
            case VhostUserOptions.BlockDevice:
                // A disk may grow or shrink, and its cache be switched; block size, limits and queues stay.
                if (BinaryPrimitives.ReadUInt64LittleEndian(fresh) <= MaxSectors)
                {
                    fresh[..sizeof(ulong)].CopyTo(merged);
                }

                if (fresh.Length > BlockWriteback && fresh[BlockWriteback] <= 1)
                {
                    merged[BlockWriteback] = fresh[BlockWriteback];
                }

                break;
            default:
                fresh[..Math.Min(fresh.Length, merged.Length)].CopyTo(merged);
                break;
        }

        return merged.AsSpan().SequenceEqual(current) ? current : merged;
    }

    /// <summary>True when a guest may write <paramref name="value"/> at <paramref name="offsetBytes"/>, inside the configuration.</summary>
    public bool TakesWrite(int offsetBytes, byte value) => AskBytes != 0 && DeviceId switch
    {
        VhostUserOptions.NetDevice => false,
        VhostUserOptions.BlockDevice => offsetBytes == BlockWriteback && value <= 1 && (Features & DeviceFeatures.BlockConfigWce) != 0,
        _ => true,
    };

    /// <summary>vhost-user has no message that names the type of a device: this judges by its features.</summary>
    private static void CheckType(VhostUserOptions options, ulong offered)
    {
        if (options.DeviceId == VhostUserOptions.BlockDevice && DeviceFeatures.LooksLikeNet(offered))
        {
            throw new FrontendException($"it is a network device, not a block device (features 0x{offered:x})");
        }

        if (options.DeviceId == VhostUserOptions.NetDevice && DeviceFeatures.LooksLikeBlock(offered))
        {
            throw new FrontendException($"it is a block device, not a network device (features 0x{offered:x})");
        }
    }

    /// <summary>Rings, or of a network device rings or pairs: back-ends differ.</summary>
    private static ulong? Rings(VhostUserFrontend frontend) => frontend.QueueCount switch
    {
        null => null,
        0 => throw new FrontendException("it has no queues"),
        ulong count => Math.Min(count, MaxQueues),
    };

    private int UsualConfigBytes(ulong offered) => DeviceId switch
    {
        VhostUserOptions.NetDevice => (offered & DeviceFeatures.NetLongConfig) == 0 ? NetShortBytes : NetLongBytes,
        VhostUserOptions.BlockDevice => BlockBytes,
        3 => 12, // console
        8 => 36, // SCSI host
        18 => 136, // input
        19 => 8, // socket
        25 => 12, // sound
        26 => 40, // file system
        41 => 8, // GPIO
        _ => 0,
    };

    private static (ulong Features, ulong Own, int Pairs, int? ControlQueue, int ControlRing) ShapeNet(
        VhostUserOptions options, VhostUserFrontend frontend, ulong features, ref byte[] config)
    {
        bool isSaid = config.Length >= NetShortBytes;
        if (!isSaid)
        {
            // Without CONFIG (dpdk's vhost library has none) all of it is said here, and what lies beyond is not offered.
            config = new byte[NetShortBytes];
            BinaryPrimitives.WriteUInt16LittleEndian(config.AsSpan(NetStatus), LinkUp);
            features &= ~(DeviceFeatures.NetMac | DeviceFeatures.NetMtu | DeviceFeatures.NetLongConfig);
            features |= DeviceFeatures.NetStatus;
        }

        ulong own = (isSaid ? 0 : DeviceFeatures.NetStatus) | (options.Mac is null ? 0 : DeviceFeatures.NetMac) | (options.MtuBytes is null ? 0 : DeviceFeatures.NetMtu);
        features |= own;
        options.Mac?.CopyTo(config, 0);
        if (options.MtuBytes is { } mtu)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(config.AsSpan(NetMtu), (ushort)mtu);
        }

        // An address that is a group's or none at all, or an MTU below the least of IPv4, would stop a driver: then it chooses itself.
        features &= IsAddressOfOne(config) ? ulong.MaxValue : ~DeviceFeatures.NetMac;
        features &= BinaryPrimitives.ReadUInt16LittleEndian(config.AsSpan(NetMtu)) < MinMtu ? ~DeviceFeatures.NetMtu : ulong.MaxValue;

        // Front-ends like QEMU serve the control queue themselves, and some back-ends offer it for their sake. Here it is handed over like any other queue:
        // only who counts one ring beyond its pairs has it.
        int there = 1;
        if ((features & DeviceFeatures.NetMultiQueue) != 0)
        {
            ulong most = isSaid ? BinaryPrimitives.ReadUInt16LittleEndian(config.AsSpan(NetPairs)) : Rings(frontend) ?? 1;
            there = (int)Math.Clamp(most, 1, MaxPairs);
        }

        bool isControlled = isSaid && (features & DeviceFeatures.NetControlQueue) != 0 && Rings(frontend) is { } rings && rings > (ulong)(2 * there);
        int pairs = isControlled ? Math.Min(there, Math.Max(1, options.QueueLimit ?? there)) : 1;
        if (!isControlled)
        {
            features &= ~(DeviceFeatures.NetControlQueue | DeviceFeatures.NetNeedsControl);
        }

        if (pairs == 1)
        {
            features &= ~DeviceFeatures.NetMultiQueue;
        }

        BinaryPrimitives.WriteUInt16LittleEndian(config.AsSpan(NetPairs), (ushort)pairs);
        BinaryPrimitives.WriteUInt16LittleEndian(config.AsSpan(NetStatus), (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(config.AsSpan(NetStatus)) & LinkUp));
        return (features, own & features, pairs, isControlled ? 2 * pairs : null, 2 * there);
    }

    /// <summary>True when a configuration begins with an address that an interface may have: neither a group's nor the one of zeroes.</summary>
    private static bool IsAddressOfOne(ReadOnlySpan<byte> config) => (config[0] & 1) == 0 && config[..NetMacBytes].ContainsAnyExcept((byte)0);

    private static int ShapeBlock(VhostUserOptions options, VhostUserFrontend frontend, ulong features, byte[] config)
    {
        if (config.Length < BlockQueues + sizeof(ushort))
        {
            throw new FrontendException("it gives no configuration, so that the disk has no capacity");
        }

        ulong sectors = BinaryPrimitives.ReadUInt64LittleEndian(config);
        if (sectors > MaxSectors)
        {
            throw new FrontendException($"its configuration is not that of a block device: capacity of 0x{sectors:x} sectors");
        }

        uint block = BinaryPrimitives.ReadUInt32LittleEndian(config.AsSpan(BlockSize));
        if ((features & DeviceFeatures.BlockBlockSize) != 0 && (block is < 512 or > 65536 || !BitOperations.IsPow2(block)))
        {
            throw new FrontendException($"its configuration is not that of a block device: logical blocks of {block} bytes");
        }

        ulong queues = 1;
        if ((features & DeviceFeatures.BlockMultiQueue) != 0)
        {
            queues = Math.Min(Rings(frontend) ?? 1, Math.Max((ushort)1, BinaryPrimitives.ReadUInt16LittleEndian(config.AsSpan(BlockQueues))));
            queues = Math.Min(queues, (ulong)Math.Max(1, options.QueueLimit ?? MaxQueues));
        }

        BinaryPrimitives.WriteUInt16LittleEndian(config.AsSpan(BlockQueues), (ushort)queues);
        return (int)queues;
    }
}
