using System.Collections.Concurrent;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Tests.Frontend;
using Paravane.Hypervisor.Virtio;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>A device behind scripted back-ends, with guest memory and what a transport would have heard.</summary>
internal sealed class DeviceRig : IDisposable
{
    public const ulong BlockMultiQueue = 1UL << 12;

    public const ulong Features = VirtioFeatures.Version1 | VirtioFeatures.ProtocolFeatures | VirtioFeatures.EventIdx | BlockMultiQueue;

    public const ProtocolFeatures Usual = ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck | ProtocolFeatures.Config | ProtocolFeatures.ConfigureMemSlots
        | ProtocolFeatures.Status | ProtocolFeatures.BackendReq;

    private readonly ConcurrentQueue<string> _log = new();
    private int _needsReset, _configChanges;

    public DeviceRig(Func<int, ScriptedBackEnd> make, Func<VhostUserOptions, VhostUserOptions>? change = null, TimeSpan? patience = null)
    {
        Ram = GuestRam.Create(1 << 20);
        Source = new ScriptedSource(make);
        var options = new VhostUserOptions
        {
            Name = "disk0",
            DeviceId = VhostUserOptions.BlockDevice,
            Frontend = new FrontendOptions { ProtocolFeatures = FrontendOptions.Supported, ReplyTimeout = patience ?? Wait.Limit },
            Log = _log.Enqueue,
        };
        try
        {
            Device = VhostUserFunction.Open(change?.Invoke(options) ?? options, Source, Ram.Regions);
        }
        catch
        {
            Ram.Dispose();
            throw;
        }

        Device.NeedsReset += () => Interlocked.Increment(ref _needsReset);
        Device.ConfigChanged += () => Interlocked.Increment(ref _configChanges);
    }

    public GuestRam Ram { get; }

    public ScriptedSource Source { get; }

    public VhostUserFunction Device { get; }

    public int NeedsReset => Volatile.Read(ref _needsReset);

    public int ConfigChanges => Volatile.Read(ref _configChanges);

    public IReadOnlyList<string> Log => [.. _log];

    /// <summary>A block device's configuration.</summary>
    public static byte[] BlockConfig(ulong sectors, ushort queues = 2, uint block = 512, byte writeback = 1)
    {
        byte[] config = new byte[60];
        BitConverter.TryWriteBytes(config, sectors);
        BitConverter.TryWriteBytes(config.AsSpan(20), block);
        config[32] = writeback;
        BitConverter.TryWriteBytes(config.AsSpan(34), queues);
        return config;
    }

    /// <summary>A network device's configuration.</summary>
    public static byte[] NetConfig(ushort pairs)
    {
        byte[] config = new byte[12];
        ((byte[])[0x52, 0x54, 0, 1, 2, 3, 1, 0]).CopyTo(config, 0);
        BitConverter.TryWriteBytes(config.AsSpan(8), pairs);
        BitConverter.TryWriteBytes(config.AsSpan(10), (ushort)1500);
        return config;
    }

    /// <summary>The answer to GET_CONFIG.</summary>
    public static Answer ConfigAnswer(Received message, ReadOnlySpan<byte> config) =>
        new() { Payload = [.. message.Payload[..ConfigHeader.SizeInBytes], .. config[..(message.Payload.Length - ConfigHeader.SizeInBytes)]] };

    /// <summary>A back-end of a disk that does all it is told.</summary>
    public static ScriptedBackEnd Disk(ulong features = Features, ProtocolFeatures protocol = Usual, Func<Received, Answer?>? script = null) =>
        new(message => script?.Invoke(message) ?? (message.Request == FrontendRequest.GetConfig ? ConfigAnswer(message, BlockConfig(64)) : null))
        {
            Features = features,
            ProtocolFeatures = protocol,
        };

    /// <summary>A queue somewhere in guest memory, with nothing in it.</summary>
    public VirtqueueSetup Queue(int index, ushort size = 16, EventFd? call = null)
    {
        GuestArea area = Ram.Allocate(32768, 4096);
        return new VirtqueueSetup(index, size, area.Guest, new GuestAddress(area.Guest.Value + 8192), new GuestAddress(area.Guest.Value + 16384), call);
    }

    /// <summary>Sets the two indices of a split ring.</summary>
    public void SetIndices(VirtqueueSetup queue, ushort available, ushort used)
    {
        Assert.True(Ram.Table.TryWrite(new GuestAddress(queue.Driver.Value + 2), BitConverter.GetBytes(available)));
        Assert.True(Ram.Table.TryWrite(new GuestAddress(queue.Device.Value + 2), BitConverter.GetBytes(used)));
    }

    /// <summary>Starts and waits until the first connection has heard of the driver.</summary>
    public void Start(ulong features, params VirtqueueSetup[] queues)
    {
        Device.Start(features, queues);
        AwaitStart(0);
    }

    public void AwaitStart(int connection) => Await(connection, FrontendRequest.SetStatus, message => message.Number == 15);

    public Received Await(int connection, FrontendRequest request, Func<Received, bool>? which = null)
    {
        Received? found = null;
        Wait.Until(() => (found = Source[connection].Received.FirstOrDefault(message => message.Request == request && (which?.Invoke(message) ?? true))) is not null);
        return found!;
    }

    public void Dispose()
    {
        Device.Dispose();
        Ram.Dispose();
    }
}
