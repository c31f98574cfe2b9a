using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Paravane.Backends.Block.Spec;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Backends.Block;

/// <summary>A virtio block device over one store (virtio 1.2 §5.2).</summary>
/// <remarks>
/// <para>Session context, but for <see cref="StartQueue"/>, <see cref="EndQueue"/> and what loops read: the fixed properties and <see cref="IsWriteback"/>.</para>
/// <para>
/// Whether the driver turned the volatile cache off goes into the record of requests in flight before the driver hears that it was done, so that a process that
/// takes this one's place goes on with it: such a driver sends no FLUSH. Nothing is read back there but once, when the first queue starts.
/// </para>
/// </remarks>
internal sealed class BlockDevice : IVirtioDevice, IDisposable
{
    /// <summary>What a driver chose by the writeback byte. The values are the record's word.</summary>
    private enum Cache
    {
        /// <summary>Nothing yet.</summary>
        AsNegotiated,

        /// <summary>1.</summary>
        On,

        /// <summary>0.</summary>
        Off,
    }

    private readonly Store _store;
    private readonly BlockDeviceOptions _options;
    private readonly byte[] _serial = new byte[BlockLimits.SerialBytes];
    private volatile Cache _cache;
    private bool _isRecorded; // the choice has stood in a record: what the next one says is newer
    private bool _flushNegotiated = true;
    private InflightRecord? _record; // while queues run
    private RingFormat _format;
    private int _runningQueues;

    /// <summary>Takes the store over.</summary>
    /// <param name="store">Its length is a multiple of the logical block; checked by the one who opened it.</param>
    /// <param name="options">How the disk shows itself.</param>
    public BlockDevice(Store store, BlockDeviceOptions options)
    {
        _store = store;
        _options = options;
        Encoding.UTF8.GetBytes(options.Serial, _serial);
        ulong features = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | VirtioFeatures.RingPacked
            | VirtioFeatures.RingReset | BlkFeatures.SegMax | BlkFeatures.BlkSize | BlkFeatures.Flush | BlkFeatures.Topology
            | BlkFeatures.ConfigWce | BlkFeatures.MultiQueue;
        features |= options.ReadOnly ? BlkFeatures.ReadOnly : BlkFeatures.Discard | BlkFeatures.WriteZeroes;
        Traits = new VirtioDeviceTraits
        {
            DeviceId = 2,
            QueueCount = options.QueueCount,
            MaxQueueSize = options.MaxQueueSize,
            Features = features,
            ConfigSizeBytes = BlkConfig.SizeBytes,
            WorkerCount = options.WorkerPerQueue ? options.QueueCount : 1,
            ThreadName = "blk",
        };
    }

    /// <inheritdoc/>
    public event Action? ConfigChanged
    {
        // The capacity is fixed while the process lives, and the cache that a record names was switched by the driver: nothing changes by itself.
        add { }
        remove { }
    }

    /// <inheritdoc/>
    public VirtioDeviceTraits Traits { get; }

    /// <summary>Sectors of 512 bytes.</summary>
    public ulong CapacitySectors => _store.LengthBytes / BlockLimits.SectorBytes;

    /// <summary>Requests that change the medium are refused.</summary>
    public bool IsReadOnly => _options.ReadOnly;

    /// <summary>Serial text, padded with zeroes to 20 bytes.</summary>
    public ReadOnlySpan<byte> Serial => _serial;

    /// <summary>The volatile cache is on: completed writes become durable by a FLUSH. Any thread.</summary>
    /// <param name="flushNegotiated">Without FLUSH a driver starts with the cache off (virtio 1.2 §5.2.5.2).</param>
    public bool IsWriteback(bool flushNegotiated) => _cache == Cache.AsNegotiated ? flushNegotiated : _cache == Cache.On;

    /// <summary>Requests that were not carried out, for what the driver asked.</summary>
    public DeviceTroubles Refusals { get; } = new(
        "requests refused",
        "malformed, outside the disk or over a limit, or writing to a read-only disk",
        "of a type or with flags that were not negotiated");

    /// <inheritdoc/>
    public IReadOnlyList<DeviceTroubles> Troubles => _store.Failures is { } failures ? [Refusals, failures] : [Refusals];

    /// <inheritdoc/>
    public int WorkerOf(int queueIndex) => _options.WorkerPerQueue ? queueIndex : 0;

    /// <inheritdoc/>
    public void AcceptFeatures(ulong features) =>
        _flushNegotiated = (features & (BlkFeatures.Flush | BlkFeatures.ConfigWce)) != BlkFeatures.ConfigWce;

    /// <inheritdoc/>
    public void ReadConfig(int offsetBytes, Span<byte> destination)
    {
        BlkConfig config = BuildConfig();
        MemoryMarshal.AsBytes(new ReadOnlySpan<BlkConfig>(ref config)).Slice(offsetBytes, destination.Length).CopyTo(destination);
    }

    /// <inheritdoc/>
    public string? TryWriteConfig(int offsetBytes, ReadOnlySpan<byte> source, bool restoring)
    {
        if (restoring)
        {
            int writeback = BlkConfig.WritebackOffset - offsetBytes;
            return (uint)writeback < (uint)source.Length ? TrySetWriteback(source[writeback]) : null;
        }

        return offsetBytes == BlkConfig.WritebackOffset && source.Length == 1
            ? TrySetWriteback(source[0])
            : $"block config bytes {offsetBytes}…{offsetBytes + source.Length - 1}: only writeback, the byte at {BlkConfig.WritebackOffset}, may be written";
    }

    /// <inheritdoc/>
    public IQueueLoop StartQueue(QueueConfig config, GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(config);
        IQueueLoop loop = _store.StartQueue(this, config, memory);
        if (Interlocked.Increment(ref _runningQueues) == 1)
        {
            Begin(config);
        }

        return loop;
    }

    /// <summary>A queue has stopped. Worker; queues of several may stop at once, and none starts meanwhile.</summary>
    public void EndQueue()
    {
        if (Interlocked.Decrement(ref _runningQueues) == 0)
        {
            _record = null; // lives as long as the queues
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        _cache = Cache.AsNegotiated;
        _flushNegotiated = true;
    }

    /// <inheritdoc/>
    /// <remarks>A cache that was turned off stays off: the driver may still be there and rely on it, sending no FLUSH. One that was turned on is not.</remarks>
    public void ForgetFrontend()
    {
        _cache = _cache == Cache.Off ? Cache.Off : Cache.AsNegotiated;
        _flushNegotiated = true;
    }

    /// <inheritdoc/>
    public void Dispose() => _store.Dispose();

    /// <summary>The first queue started: goes on with the cache that the record names, unless the front-end has said since which one it is.</summary>
    private void Begin(QueueConfig config)
    {
        _record = config.Inflight;
        _format = config.Format;
        ulong found = _record?.ReadWord(_format) ?? 0;
        if ((_cache == Cache.AsNegotiated || _isRecorded) && found is (ulong)Cache.On or (ulong)Cache.Off && config.Has(BlkFeatures.ConfigWce))
        {
            _cache = (Cache)found;
        }

        Keep(); // a device that was only paused may come back with another record
    }

    private void Keep()
    {
        _record?.WriteWord(_format, (ulong)_cache);
        _isRecorded = _record is not null;
    }

    private string? TrySetWriteback(byte value)
    {
        if (value > 1)
        {
            return $"block config writeback: 0x{value:x} is neither 0 nor 1";
        }

        bool wasOn = IsWriteback(_flushNegotiated);
        _cache = value != 0 ? Cache.On : Cache.Off;
        if (wasOn && value == 0)
        {
            // A driver that turned the cache off sends no FLUSH any more; this one covers what it wrote before.
            _store.Synchronize();
        }

        Keep(); // last: a successor that finds the cache off has nothing to make durable
        return null;
    }

    private BlkConfig BuildConfig()
    {
        uint block = _options.LogicalBlockBytes;
        uint physical = Math.Max(block, _store.PhysicalBlockBytes);
        var config = new BlkConfig
        {
            Capacity = CapacitySectors,
            SegMax = (uint)Math.Min(_options.MaxQueueSize - 2, BlockLimits.MaxSegMax),
            BlkSize = block,
            PhysicalBlockExponent = (byte)BitOperations.Log2(physical / block),
            MinIoSize = (ushort)(physical / block),
            Writeback = IsWriteback(_flushNegotiated) ? (byte)1 : (byte)0,
            NumQueues = (ushort)_options.QueueCount,
        };
        if (!_options.ReadOnly)
        {
            config.MaxDiscardSectors = BlockLimits.MaxDiscardSectors;
            config.MaxDiscardSeg = BlockLimits.MaxSegments;
            config.DiscardSectorAlignment = physical / BlockLimits.SectorBytes;
            config.MaxWriteZeroesSectors = BlockLimits.MaxWriteZeroesSectors;
            config.MaxWriteZeroesSeg = BlockLimits.MaxSegments;
            config.WriteZeroesMayUnmap = 1;
        }

        return config;
    }
}
