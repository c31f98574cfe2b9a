using System.Buffers.Binary;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Verbs;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Bench;

/// <summary>A block device behind a front-end: negotiated, laid out and started with one <see cref="ILoad"/> for each queue.</summary>
internal sealed class BlockBench : IDisposable
{
    /// <summary>Header, data, status.</summary>
    private const int ChainDescriptors = 3;

    /// <summary>Config space up to <c>num_queues</c>: what every block device since 1.0 has.</summary>
    private const int ConfigBytes = 36;

    /// <summary>Largest record of written blocks, in blocks: 5 bytes each.</summary>
    private const ulong MaxVerifiedBlocks = 64 << 20;

    private readonly VhostUserFrontend _frontend;
    private readonly GuestRam _ram;
    private readonly FrontendQueue[] _queues;

    private BlockBench(VhostUserFrontend frontend, GuestRam ram, FrontendQueue[] queues, IBlockLoad[] loads)
    {
        _frontend = frontend;
        _ram = ram;
        _queues = queues;
        Loads = loads;
    }

    /// <summary>One for each queue.</summary>
    public IReadOnlyList<IBlockLoad> Loads { get; }

    /// <summary>Prepares the device and starts its queues.</summary>
    /// <exception cref="UsageException">The settings do not fit the device.</exception>
    /// <exception cref="FrontendException">The back-end refused a step.</exception>
    public static BlockBench Start(VhostUserFrontend frontend, BlockBenchSettings settings)
    {
        ulong features = Negotiate(frontend, settings);
        ulong bytes = Area(frontend, settings, features);
        frontend.SetFeatures(features);

        ulong blocks = bytes / settings.BlockBytes;
        ulong blocksPerQueue = blocks / (ulong)settings.Queues;
        int indirectEntries = settings.Indirect ? ChainDescriptors : 0;
        int size = settings.QueueSize;
        ulong queueBytes = FrontendQueue.BytesNeeded(size, features, indirectEntries);
        ulong slotBytes = checked((ulong)settings.Depth * (settings.BlockBytes + 64)) + 8192;
        GuestRam ram = GuestRam.Create(checked((ulong)settings.Queues * (queueBytes + slotBytes)), settings.HugePages);
        var queues = new FrontendQueue[settings.Queues];
        var loads = new IBlockLoad[settings.Queues];
        var bench = new BlockBench(frontend, ram, queues, loads);
        try
        {
            for (int i = 0; i < queues.Length; i++)
            {
                queues[i] = new FrontendQueue(ram, i, size, features, indirectEntries);
                var options = new BlockLoadOptions
                {
                    Depth = settings.Depth,
                    BlockBytes = settings.BlockBytes,
                    ReadPercent = settings.ReadPercent,
                    Random = settings.Random,

                    // Random requests without verification may hit any block; else each queue keeps to its own part.
                    FirstBlock = settings.Random && !settings.Verify ? 0 : (ulong)i * blocksPerQueue,
                    BlockCount = settings.Random && !settings.Verify ? blocks : blocksPerQueue,
                    Indirect = settings.Indirect,
                    Verify = settings.Verify,
                    Seed = settings.Seed + (ulong)i,
                    Name = $"queue {i}",
                    Kick = queues[i].Kick,
                    Call = queues[i].Call,
                };
                loads[i] = settings.Format == RingFormat.Packed
                    ? new BlockLoad<PackedDriver>(options, queues[i].Ring, ram)
                    : new BlockLoad<SplitDriver>(options, queues[i].Ring, ram);
            }

            FrontendDevice.Start(frontend, ram, queues);
            return bench;
        }
        catch
        {
            bench.Dispose();
            throw;
        }
    }

    /// <summary>Stops the queues in order.</summary>
    /// <exception cref="FrontendException">The back-end refused a step.</exception>
    public void Stop() => FrontendDevice.Stop(_frontend, _queues);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (FrontendQueue? queue in _queues)
        {
            queue?.Dispose();
        }

        _ram.Dispose();
    }

    private static ulong Negotiate(VhostUserFrontend frontend, BlockBenchSettings settings)
    {
        ulong offered = frontend.OfferedFeatures;
        if (DeviceFeatures.LooksLikeNet(offered))
        {
            throw new FrontendException($"the back-end serves a network device (features 0x{offered:x}): use 'bench net'");
        }

        FeatureChoice features = new(offered);
        features.Need(VirtioFeatures.Version1, "VERSION_1");
        features.Want(settings.Format == RingFormat.Packed, VirtioFeatures.RingPacked, "--ring=packed", "RING_PACKED", "--ring=split");
        features.Want(settings.EventIndex, VirtioFeatures.EventIdx, "--event-idx=on", "EVENT_IDX", "--event-idx=off");
        features.Want(settings.Indirect, VirtioFeatures.IndirectDesc, "--indirect=on", "INDIRECT_DESC", "--indirect=off");
        features.Want(settings.Queues > 1, DeviceFeatures.BlockMultiQueue, $"--queues={settings.Queues}", "MQ", "--queues=1");
        features.Take(DeviceFeatures.BlockFlush | DeviceFeatures.BlockBlockSize | DeviceFeatures.BlockReadOnly);
        bool writes = settings.ReadPercent < 100 || settings.Verify;
        if (writes && (offered & DeviceFeatures.BlockReadOnly) != 0)
        {
            throw new FrontendException("the disk is read-only: only --rw=read and --rw=randread without --verify are possible");
        }

        if (frontend.QueueCount is ulong count && count < (ulong)settings.Queues)
        {
            throw new FrontendException($"the back-end serves {count} queues, --queues={settings.Queues} is too much");
        }

        return features.Chosen;
    }

    /// <summary>Bytes of the disk that are used, checked against the block size and the options.</summary>
    private static ulong Area(VhostUserFrontend frontend, BlockBenchSettings settings, ulong features)
    {
        if (!frontend.Has(ProtocolFeatures.Config))
        {
            throw new FrontendException("the back-end does not offer the protocol feature CONFIG: its capacity cannot be read");
        }

        byte[] config = frontend.ReadConfig(0, ConfigBytes);
        ulong sectors = BinaryPrimitives.ReadUInt64LittleEndian(config);
        uint sizeMax = BinaryPrimitives.ReadUInt32LittleEndian(config.AsSpan(8));
        uint blockSize = (features & DeviceFeatures.BlockBlockSize) != 0 ? BinaryPrimitives.ReadUInt32LittleEndian(config.AsSpan(20)) : 512;
        if (sectors > ulong.MaxValue / 512)
        {
            throw new FrontendException($"a capacity of {sectors} sectors is nonsense");
        }

        if (blockSize != 0 && settings.BlockBytes % blockSize != 0)
        {
            throw new UsageException($"--block-size={settings.BlockBytes}: the disk's blocks have {blockSize} bytes, use a multiple");
        }

        if ((frontend.OfferedFeatures & DeviceFeatures.BlockSizeMax) != 0 && sizeMax != 0 && settings.BlockBytes > sizeMax)
        {
            throw new UsageException($"--block-size={settings.BlockBytes}: the disk takes at most {sizeMax} bytes in one piece");
        }

        ulong capacity = sectors * 512;
        ulong area = settings.AreaBytes ?? (settings.Verify ? Math.Min(capacity, BlockBenchSettings.DefaultVerifiedBytes) : capacity);
        if (area > capacity)
        {
            throw new UsageException($"--size={area}: the disk has {capacity} bytes");
        }

        ulong blocks = area / settings.BlockBytes / (ulong)settings.Queues;
        if (blocks < (settings.Verify ? 2UL * (ulong)settings.Depth : 1))
        {
            throw new UsageException(
                $"{area} bytes are too few for {settings.Queues} queues of depth {settings.Depth} with blocks of {settings.BlockBytes} bytes"
                + (settings.Verify ? " and --verify, which takes two blocks a request" : string.Empty));
        }

        return !settings.Verify || blocks <= MaxVerifiedBlocks
            ? area
            : throw new UsageException($"--verify of {blocks} blocks a queue: at most {MaxVerifiedBlocks} can be remembered, give a smaller --size");
    }
}
