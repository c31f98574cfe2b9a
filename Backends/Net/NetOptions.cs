using System.CommandLine;
using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Net;

/// <summary>The options of <c>paravane-net</c>, and the device that they describe.</summary>
internal sealed class NetOptions
{
    private const string TapPrefix = "tap:";

    private readonly Option<string> _net = new("--net")
    {
        HelpName = "loop|drop|source|tap:NAME",
        Description = "Where the wire leads: loop sends each frame back, drop swallows, source generates, tap:NAME is an interface of this host, "
            + "made if it is not there. Required. Example: --net=tap:tap0",
    };

    private readonly Option<int> _queuePairs = new("--queue-pairs")
    {
        HelpName = "N",
        DefaultValueFactory = _ => 1,
        Description = $"Receive and transmit queues, 1 to {NetSettings.MaxQueuePairs} of each. Example: --queue-pairs=2",
    };

    private readonly Option<int> _queueSize = new("--queue-size")
    {
        HelpName = "N",
        DefaultValueFactory = _ => QueueConfig.MaxSize,
        Description = $"Largest ring that is accepted, in descriptors: a power of two up to {QueueConfig.MaxSize}. Example: --queue-size=1024",
    };

    private readonly Option<string?> _mac = new("--mac")
    {
        HelpName = "ADDRESS",
        Description = "Address that the device names to front-ends which ask; left out, the front-end or the guest chooses. Example: --mac=52:54:00:12:34:56",
    };

    private readonly Option<int?> _mtu = new("--mtu")
    {
        HelpName = "BYTES",
        Description = $"Largest packet without its Ethernet header, {FrameLimits.MinMtu} to {FrameLimits.MaxMtu}; default 1500, with tap the interface's. Example: --mtu=9000",
    };

    private readonly Option<int> _frameSize = new("--frame-size")
    {
        HelpName = "BYTES",
        DefaultValueFactory = _ => 64,
        Description = $"Length of each generated frame with --net=source, without a check sequence; at least {TestFrame.MinBytes}. Example: --frame-size=1518",
    };

    private readonly Option<string> _workers = new("--workers")
    {
        HelpName = "one|per-pair",
        DefaultValueFactory = _ => "one",
        Description = "Threads: one for the device, or one for each queue pair. Example: --workers=per-pair",
    };

    /// <summary>All of them, in the order of the help text.</summary>
    public IReadOnlyList<Option> All => [_net, _queuePairs, _queueSize, _mac, _mtu, _frameSize, _workers];

    /// <summary>Makes the device. Everything is checked before anything is opened.</summary>
    /// <exception cref="UsageException">A value is missing, wrong, or contradicts another.</exception>
    /// <exception cref="StartException">The interface cannot be had.</exception>
    public NetDevice CreateDevice(BackendOptions options)
    {
        string net = options.Get(_net) ?? throw new UsageException("--net is missing: give --net=loop, drop, source or tap:NAME");
        int? mtu = options.Get(_mtu);
        if (mtu is < FrameLimits.MinMtu or > FrameLimits.MaxMtu)
        {
            throw new UsageException($"--mtu={mtu}: must be {FrameLimits.MinMtu} to {FrameLimits.MaxMtu}");
        }

        var settings = new NetSettings
        {
            QueuePairs = InRange("--queue-pairs", options.Get(_queuePairs), NetSettings.MaxQueuePairs),
            QueueSize = InRange("--queue-size", options.Get(_queueSize), QueueConfig.MaxSize),
            Mac = ReadMac(options.Get(_mac)),
            MtuBytes = mtu ?? NetSettings.DefaultMtuBytes,
            WorkerPerPair = options.Get(_workers) switch
            {
                "one" => false,
                "per-pair" => true,
                var other => throw new UsageException($"--workers={other}: must be one or per-pair"),
            },
        };
        if (!System.Numerics.BitOperations.IsPow2(settings.QueueSize))
        {
            throw new UsageException($"--queue-size={settings.QueueSize}: must be a power of two");
        }

        if (net != "source" && options.Has(_frameSize))
        {
            throw new UsageException($"--frame-size goes with --net=source only, not with --net={net}");
        }

        return net switch
        {
            "loop" => new NetDevice(new LoopPort(), settings),
            "drop" => new NetDevice(new DropPort(), settings),
            "source" => new NetDevice(NewSource(options.Get(_frameSize), settings), settings),
            _ when net.StartsWith(TapPrefix, StringComparison.Ordinal) => NewTapDevice(net[TapPrefix.Length..], settings, mtu),
            _ => throw new UsageException($"--net={net}: must be loop, drop, source or tap:NAME"),
        };
    }

    private static SourcePort NewSource(int frameBytes, NetSettings settings)
    {
        int longest = settings.MtuBytes + FrameLimits.OverheadBytes;
        return frameBytes >= TestFrame.MinBytes && frameBytes <= Math.Min(longest, TestFrame.MaxBytes)
            ? new SourcePort(frameBytes, settings.Mac ?? [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
            : throw new UsageException($"--frame-size={frameBytes}: must be {TestFrame.MinBytes} to {Math.Min(longest, TestFrame.MaxBytes)} with an MTU of {settings.MtuBytes}");
    }

    private static NetDevice NewTapDevice(string name, NetSettings settings, int? mtu)
    {
        if (name.Length is 0 or > Tap.MaxNameLength || name is "." or ".." || name.Any(character => character is <= ' ' or > '~' or '/' or ':' or '%'))
        {
            throw new UsageException($"--net=tap:{name}: an interface name has 1 to {Tap.MaxNameLength} visible characters without / : %");
        }

        var port = TapPort.Open(name, settings.QueuePairs);
        try
        {
            if (mtu is { } wanted && !port.TrySetMtu(wanted))
            {
                throw new StartException($"tap '{name}': cannot set MTU {wanted}: run 'ip link set {name} mtu {wanted}' as an administrator");
            }

            return new NetDevice(port, settings with { MtuBytes = Math.Max(port.MtuBytes, FrameLimits.MinMtu) });
        }
        catch
        {
            port.Dispose();
            throw;
        }
    }

    private static int InRange(string name, int value, int max) =>
        value >= 1 && value <= max ? value : throw new UsageException($"{name}={value}: must be 1 to {max}");

    private static byte[]? ReadMac(string? text)
    {
        if (text is null)
        {
            return null;
        }

        return MacAddress.TryParse(text, out byte[] address)
            ? address
            : throw new UsageException($"--mac={text}: must be six bytes like 52:54:00:12:34:56, not a group address");
    }
}
