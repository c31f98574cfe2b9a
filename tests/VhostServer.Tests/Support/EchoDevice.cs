using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>Copies what a chain has to read into what it has to write. Requests can be held in flight, as a slow disk would.</summary>
internal class EchoDevice : IVirtioDevice, IDisposable
{
    private readonly int _workers;
    private volatile bool _isHolding;
    private int _taken;

    public EchoDevice(int queues = 2, int workers = 1, ulong features = RingFeatures)
    {
        _workers = workers;
        Traits = new VirtioDeviceTraits { DeviceId = 4, QueueCount = queues, Features = features, ConfigSizeBytes = 16, WorkerCount = workers, ThreadName = "echo", MaxQueueSize = 1024 };
    }

    public const ulong RingFeatures = VirtioFeatures.Version1 | VirtioFeatures.RingPacked | VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc | VirtioFeatures.RingReset;

    public VirtioDeviceTraits Traits { get; }

    public event Action? ConfigChanged;

    public DeviceTroubles Trouble { get; } = new("echoes that failed", "for want of air");

    public IReadOnlyList<DeviceTroubles> Troubles => [Trouble];

    /// <summary>While true, chains are taken and not completed. Letting go wakes the workers.</summary>
    public bool IsHolding
    {
        get => _isHolding;
        set
        {
            _isHolding = value;
            Released.Signal();
        }
    }

    public EventFd Released { get; } = new();

    /// <summary>What a ring does besides at the beginning of each of its turns. On the worker.</summary>
    public Action<Virtqueue>? OnTurn { get; set; }

    /// <summary>What a ring does besides when its worker is about to sleep. On the worker.</summary>
    public Action<Virtqueue>? OnArm { get; set; }

    /// <summary>While true, starting a queue throws.</summary>
    public bool RefusesToStart { get; set; }

    /// <summary>Requests taken from any ring so far.</summary>
    public int Taken => Volatile.Read(ref _taken);

    public byte[] Config { get; } = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

    public int Resets { get; private set; }

    /// <summary>Front-ends that have gone.</summary>
    public int Forgotten { get; private set; }

    public ulong Accepted { get; private set; }

    public int WorkerOf(int queueIndex) => queueIndex % _workers;

    public string? FindFeatureError(ulong features) =>
        (features & VirtioFeatures.RingReset) != 0 && (features & VirtioFeatures.Version1) == 0 ? "RING_RESET needs VERSION_1" : null;

    public void AcceptFeatures(ulong features) => Accepted = features;

    public void RaiseConfigChanged() => ConfigChanged?.Invoke();

    public void ReadConfig(int offsetBytes, Span<byte> destination) => Config.AsSpan(offsetBytes, destination.Length).CopyTo(destination);

    public string? TryWriteConfig(int offsetBytes, ReadOnlySpan<byte> source, bool restoring)
    {
        if (!restoring && (offsetBytes < 8 || source.IsEmpty))
        {
            return "bytes 0 to 7 are read-only";
        }

        source.CopyTo(Config.AsSpan(offsetBytes));
        return null;
    }

    public void ForgetFrontend() => Forgotten++;

    public IQueueLoop StartQueue(QueueConfig config, GuestMemory memory)
    {
        if (RefusesToStart)
        {
            throw new LinuxException(Errno.ENOMEM, "mmap");
        }

        return config.Format == RingFormat.Packed
            ? new EchoLoop<PackedRing>(this, new Virtqueue<PackedRing>(config, memory))
            : new EchoLoop<SplitRing>(this, new Virtqueue<SplitRing>(config, memory));
    }

    public void Reset() => Resets++;

    /// <summary>Bytes that the worker's thread had allocated by its last turn.</summary>
    public long AllocatedBytes { get; private set; }

    public void Count(int taken)
    {
        AllocatedBytes = GC.GetAllocatedBytesForCurrentThread();
        Interlocked.Add(ref _taken, taken);
    }

    public void Dispose() => Released.Dispose();
}

/// <summary>The same with what a network device adds.</summary>
internal sealed class EchoPort() : EchoDevice(queues: 2), INetworkPort
{
    public ulong Mtu { get; private set; }

    public byte[] Announced { get; private set; } = [];

    public bool TrySetMtu(ulong mtuBytes)
    {
        Mtu = mtuBytes is >= 68 and <= 9000 ? mtuBytes : Mtu;
        return Mtu == mtuBytes;
    }

    public void AnnounceByRarp(ReadOnlySpan<byte> mac) => Announced = mac.ToArray();
}
