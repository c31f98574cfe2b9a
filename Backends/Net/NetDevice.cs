using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.Backends.Net;

/// <summary>A virtio network device (virtio 1.2 §5.1) with a <see cref="INetPort"/> at the other end of its wire.</summary>
/// <remarks>
/// Queue 2i receives and queue 2i + 1 transmits. Both queues of a pair share a worker, whatever the number of workers. The control queue follows the pairs.
/// </remarks>
internal sealed class NetDevice : IVirtioDevice, INetworkPort, IDisposable
{
    private const ushort NetworkDeviceId = 1;

    private const ulong CommonFeatures = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | VirtioFeatures.RingPacked
        | VirtioFeatures.InOrder | VirtioFeatures.RingReset | NetFeatures.MrgRxBuf | NetFeatures.Mtu | NetFeatures.Status
        | NetFeatures.CtrlVq | NetFeatures.CtrlRx | NetFeatures.CtrlMacAddr;

    private readonly INetPort _port;
    private readonly NetSettings _settings;
    private readonly Link _link;
    private readonly QueuePair[] _pairs;
    private readonly NetConfigSpace _config;
    private readonly NetControl _control;

    public NetDevice(INetPort port, NetSettings settings)
    {
        _port = port;
        _settings = settings;
        _link = new Link(settings.MtuBytes);
        _pairs = [.. Enumerable.Range(0, settings.QueuePairs).Select(index => new QueuePair(index, _link))];
        _config = new NetConfigSpace(settings.Mac, settings.QueuePairs, settings.MtuBytes);
        _control = new NetControl(_pairs, _config, () => ConfigChanged?.Invoke());

        // Of the control queue's other features none is served: VLANs and extra receive modes are not filtered by, and there is nothing to announce.
        Traits = new VirtioDeviceTraits
        {
            DeviceId = NetworkDeviceId,
            QueueCount = (2 * settings.QueuePairs) + 1,
            MaxQueueSize = settings.QueueSize,
            Features = CommonFeatures | port.Features | (settings.Mac is null ? 0 : NetFeatures.Mac) | (settings.QueuePairs > 1 ? NetFeatures.Mq : 0),
            ConfigSizeBytes = NetConfigSpace.SizeBytes,
            WorkerCount = settings.WorkerPerPair ? settings.QueuePairs : 1,
            ThreadName = "net",
        };
    }

    /// <inheritdoc/>
    /// <remarks>When the driver has changed the address, on the worker of the control queue. A reset, which takes it back, is the front-end's own doing.</remarks>
    public event Action? ConfigChanged;

    /// <inheritdoc/>
    public VirtioDeviceTraits Traits { get; }

    /// <inheritdoc/>
    public IReadOnlyList<DeviceTroubles> Troubles => [.. _pairs.Select(pair => pair.Drops.Troubles)];

    /// <summary>The pairs, for their counters.</summary>
    public IReadOnlyList<QueuePair> Pairs => _pairs;

    /// <inheritdoc/>
    public int WorkerOf(int queueIndex) => _settings.WorkerPerPair && queueIndex < 2 * _settings.QueuePairs ? queueIndex / 2 : 0;

    /// <inheritdoc/>
    public void ReadConfig(int offsetBytes, Span<byte> destination) => _config.Read(offsetBytes, destination);

    /// <inheritdoc/>
    public string? TryWriteConfig(int offsetBytes, ReadOnlySpan<byte> source, bool restoring) => _config.TryWrite(offsetBytes, source, restoring);

    /// <inheritdoc/>
    public IQueueLoop StartQueue(QueueConfig config, GuestMemory memory)
    {
        config = config with { Features = NetFeatures.Usable(config.Features) };
        if (IsControl(config))
        {
            return config.Format == RingFormat.Packed
                ? new ControlQueue<PackedRing>(config, memory, _control)
                : new ControlQueue<SplitRing>(config, memory, _control);
        }

        QueuePair pair = _pairs[config.Index / 2];
        return (config.Index & 1) == 0
            ? _port.StartReceive(config, memory, pair)
            : _port.StartTransmit(config with { CompletesInOrderWithoutWriting = true }, memory, pair);
    }

    /// <inheritdoc/>
    /// <remarks>The MTU that a front-end set is the link's, not the driver's: it stays.</remarks>
    public void Reset() => _control.Reset();

    /// <inheritdoc/>
    public void ForgetFrontend()
    {
        Reset();
        if (_link.MtuBytes != _settings.MtuBytes)
        {
            TrySetMtu((ulong)_settings.MtuBytes);
        }
    }

    /// <inheritdoc/>
    public bool TrySetMtu(ulong mtuBytes)
    {
        if (mtuBytes is < FrameLimits.MinMtu or > FrameLimits.MaxMtu || !_port.TrySetMtu((int)mtuBytes))
        {
            return false;
        }

        _link.MtuBytes = (int)mtuBytes;
        _config.MtuBytes = (int)mtuBytes;
        return true;
    }

    /// <inheritdoc/>
    public void AnnounceByRarp(ReadOnlySpan<byte> mac) => _port.Announce(RarpFrame.For(mac[..MacAddress.Bytes]));

    /// <inheritdoc/>
    public void Dispose()
    {
        _port.Dispose();
        Array.ForEach(_pairs, pair => pair.Dispose());
    }

    /// <summary>A driver that uses one pair only has the control queue behind that one (virtio 1.2 §5.1.2), whatever the device has.</summary>
    private bool IsControl(QueueConfig config) =>
        config.Index == 2 * _pairs.Length || (config.Index == 2 && config.Has(NetFeatures.CtrlVq) && !config.Has(NetFeatures.Mq));
}
