using System.Globalization;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Verbs;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Workers;

/// <summary><c>--vhost-user=type=blk|net|NUMBER,path=SOCKET[,…]</c>: a device served by whoever listens at a socket.</summary>
internal sealed record SocketOptions : DeviceOptions
{
    private const int MaxConfigBytes = 256, MaxDeviceId = 63;

    /// <summary>Socket of the back-end.</summary>
    public required string Path { get; init; }

    /// <summary>Virtio device id.</summary>
    public required ushort DeviceId { get; init; }

    /// <summary>Queues or, of a network device, pairs; null: one for each vCPU, or what the back-end has where that is no matter of speed.</summary>
    public int? Queues { get; init; }

    /// <summary>Address of a network device, or null: the back-end's.</summary>
    public byte[]? Mac { get; init; }

    /// <summary>Largest packet of a network device, or null: the back-end's.</summary>
    public int? MtuBytes { get; init; }

    /// <summary>Configuration in place of the back-end's, or null.</summary>
    public byte[]? Config { get; init; }

    /// <summary>Bytes of configuration to ask for, or null: as the type has.</summary>
    public int? ConfigBytes { get; init; }

    /// <inheritdoc/>
    public override string Kind => DeviceId switch
    {
        VhostUserOptions.NetDevice => "net",
        VhostUserOptions.BlockDevice => "disk",
        _ => "device",
    };

    /// <summary>Reads the option's value.</summary>
    /// <param name="text">After <c>--vhost-user=</c>.</param>
    /// <exception cref="UsageException">A key is unknown, missing, wrong, or does not go with the type.</exception>
    public static SocketOptions Parse(string text)
    {
        var list = new KeyValueList("--vhost-user", text);
        ushort type = list.Take("type") switch
        {
            "net" => VhostUserOptions.NetDevice,
            "blk" => VhostUserOptions.BlockDevice,
            null => throw list.Wrong("type is missing: type=blk, type=net or the number of a virtio device type"),
            var other => ushort.TryParse(other, NumberStyles.None, CultureInfo.InvariantCulture, out ushort number) && number is > 0 and <= MaxDeviceId
                ? number
                : throw list.Wrong($"type={other} is none of blk, net and a virtio device type from 1 to {MaxDeviceId}"),
        };
        bool isNet = type == VhostUserOptions.NetDevice;
        string path = list.Take("path") ?? throw list.Wrong("path is missing: path=SOCKET, where the back-end listens");
        int pathBytes = System.Text.Encoding.UTF8.GetByteCount(path);
        if (pathBytes > UnixSocket.MaxPathBytes)
        {
            throw list.Wrong($"path={path} has {pathBytes} bytes, more than the {UnixSocket.MaxPathBytes} of a socket address");
        }

        var options = new SocketOptions
        {
            Path = path,
            DeviceId = type,
            Queues = isNet ? list.TakeNumber("queue-pairs", 1, MaxQueuePairs) : list.TakeNumber("num-queues", 1, MaxQueues),
            QueueSize = list.TakeQueueSize(VhostUserOptions.DefaultQueueSize, lowest: 1),
            Mac = isNet ? NetOptions.TakeMac(list) : null,
            MtuBytes = isNet ? list.TakeNumber("mtu", NetOptions.MinMtu, NetOptions.MaxMtu) : null,
            Config = TakeConfig(list),
            ConfigBytes = list.TakeNumber("config-size", 0, MaxConfigBytes),
            Id = TakeId(list),
        };
        list.Finish();
        return options is { Config: not null, ConfigBytes: not null } ? throw list.Wrong("config and config-size exclude each other") : options;
    }

    /// <inheritdoc/>
    protected override VhostUserOptions Describe(string name, int cpus) => new()
    {
        Name = name,
        DeviceId = DeviceId,
        QueueLimit = Queues ?? (DeviceId is VhostUserOptions.NetDevice or VhostUserOptions.BlockDevice ? Math.Clamp(cpus, 1, MaxQueuePairs) : null),
        QueueSize = QueueSize,
        Mac = Mac,
        MtuBytes = MtuBytes,
        Config = Config,
        ConfigLengthBytes = ConfigBytes,
        Frontend = new FrontendOptions { ProtocolFeatures = FrontendOptions.Supported },
    };

    /// <inheritdoc/>
    protected override IBackEnd NewBackEnd(int cpus, Action<string> log) => new SocketBackEnd(Path);

    private static byte[]? TakeConfig(KeyValueList list)
    {
        if (list.Take("config") is not { } text)
        {
            return null;
        }

        try
        {
            byte[] config = Convert.FromHexString(text);
            return config.Length <= MaxConfigBytes ? config : throw list.Wrong($"config has {config.Length} bytes, more than {MaxConfigBytes}");
        }
        catch (FormatException)
        {
            throw list.Wrong($"config={text} is not an even number of hexadecimal digits");
        }
    }
}
