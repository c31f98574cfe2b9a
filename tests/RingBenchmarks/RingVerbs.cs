using BenchmarkDotNet.Attributes;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.RingBenchmarks;

/// <summary>One burst through both sides of a ring on one thread, and the driver's half of it alone. Ranks verbs; it does not predict throughput.</summary>
[MemoryDiagnoser]
public abstract class RingVerbs<TRing, TDriver> : IDisposable
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int Size = 256;
    private readonly RingMemory _memory = new(4 << 20);
    private readonly Virtqueue<TRing> _queue;
    private readonly UsedChain[] _used = new UsedChain[64];
    private readonly DriverBuffer[] _buffers = new DriverBuffer[3];
    private TDriver _driver;

    protected RingVerbs()
    {
        ulong features = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | (typeof(TRing) == typeof(PackedRing) ? VirtioFeatures.RingPacked : 0);
        DriverRingConfig layout = DriverRingConfig.Lay(_memory.Table, _memory.Allocate(DriverRingConfig.BytesNeeded(Size, features)), Size, features);
        _driver = TDriver.Open(layout);
        _queue = new Virtqueue<TRing>(layout.ToQueueConfig(), _memory.Table);
        Array.Fill(_buffers, new DriverBuffer(_memory.Allocate(4096), 64));
    }

    [Params(1, 4, 32)]
    public int Burst { get; set; }

    /// <summary>Chains of one descriptor, the shape of a packet.</summary>
    [Benchmark(Baseline = true)]
    public int OneDescriptor()
    {
        for (int i = 0; i < Burst; i++)
        {
            _driver.TryAdd(_buffers.AsSpan(0, 1), 1, 0);
        }

        return Turn();
    }

    /// <summary>Chains of three descriptors, the shape of a disk request.</summary>
    [Benchmark]
    public int ThreeDescriptors()
    {
        for (int i = 0; i < Burst; i++)
        {
            _driver.TryAdd(_buffers, 2, 0);
        }

        return Turn();
    }

    public void Dispose()
    {
        _queue.Dispose();
        _memory.Dispose();
        GC.SuppressFinalize(this);
    }

    private int Turn()
    {
        _driver.Publish();
        int count = _queue.Fill(Burst);
        for (int i = 0; i < count; i++)
        {
            _queue.Complete(_queue.Peek(i).Token, 0);
        }

        _queue.Consume(count);
        _queue.Publish();
        return _driver.GetUsedBurst(_used);
    }
}

/// <summary>Split rings.</summary>
public class SplitVerbs : RingVerbs<SplitRing, SplitDriver>;

/// <summary>Packed rings.</summary>
public class PackedVerbs : RingVerbs<PackedRing, PackedDriver>;
