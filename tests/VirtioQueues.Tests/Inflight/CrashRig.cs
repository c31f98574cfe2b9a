using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Tests.Inflight;

/// <summary>A driver whose device may die before any of its stores and is started again on the same ring and the same record, knowing nothing else.</summary>
/// <remarks>Requests carry a number, so that what is delivered, when, how often and in what order can be told.</remarks>
internal sealed class CrashRig<TRing, TDriver> : IDisposable
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    public const int Part = 1, Parts = 3;
    public const byte Canary = 0x5c;

    private const int RequestBytes = 16;

    private readonly GuestAddress _requests;
    private readonly bool _inOrder;
    private readonly bool _indirect;
    private readonly List<ChainToken> _held = [];
    private readonly HashSet<int> _collected = [];
    private readonly Dictionary<int, int> _executed = [];
    private readonly Stack<ushort> _freeCookies = [];
    private readonly int[] _numberOf;
    private TDriver _driver;
    private QueueConfig _config;
    private int _sent;
    private int _delivered = -1;

    public CrashRig(int size, ulong features = 0, bool indirect = false, bool inOrder = false, QueueState? start = null, int entries = 0)
    {
        _inOrder = inOrder;
        _indirect = indirect;
        features |= VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | (Packed ? VirtioFeatures.RingPacked : 0) | (inOrder ? VirtioFeatures.InOrder : 0);
        int indirectEntries = indirect ? 4 : 0;
        Memory = new TestMemory(256 << 10);
        GuestAddress at = Memory.Allocate(DriverRingConfig.BytesNeeded(size, features, indirectEntries), 4096);
        DriverRingConfig layout = DriverRingConfig.Lay(Memory.Table, at, size, features, indirectEntries) with { Start = start };
        _requests = Memory.Allocate((ulong)size * RequestBytes, 4096);
        _driver = TDriver.Open(layout);
        _numberOf = new int[size];
        for (int i = size - 1; i >= 0; i--)
        {
            _freeCookies.Push((ushort)i);
        }

        Entries = entries == 0 ? size : entries;
        Format = Packed ? RingFormat.Packed : RingFormat.Split;
        File = InflightRecord.Create(Format, Parts, Entries);
        Record = InflightRecord.Map(File, 0, File.LengthBytes, Parts, Entries);
        PartOf(0).Fill(Canary);
        PartOf(2).Fill(Canary);
        _config = layout.ToQueueConfig(Part) with { Inflight = Record, CompletesInOrderWithoutWriting = inOrder };
        Queue = new Virtqueue<TRing>(_config, Memory.Table) { Enabled = true };
        _config = _config with { State = QueueState.Fresh(Format) }; // what comes later is told nothing
    }

    public static bool Packed => typeof(TRing) == typeof(PackedRing);

    public RingFormat Format { get; }

    public int Entries { get; }

    public TestMemory Memory { get; }

    public MemFd File { get; }

    public InflightRecord Record { get; }

    public Virtqueue<TRing> Queue { get; private set; }

    public QueueConfig Config => _config;

    public int Sent => _sent;

    public int Deaths { get; private set; }

    public int Repeated => _executed.Values.Count(times => times > 1);

    public int Collected => _collected.Count;

    public DriverFault DriverFault => _driver.Fault;

    public unsafe Span<byte> PartOf(int index) => new(Record.Find(index, Format), (int)InflightRecord.BytesNeeded(Format, 1, Entries));

    /// <summary>The device dies before its store number <paramref name="store"/> from now on, counted from 0.</summary>
    public static void DieBefore(int store)
    {
        int left = store;
        InflightStore.BeforeStore = () =>
        {
            if (left-- == 0)
            {
                throw new DiedException();
            }
        };
    }

    public static void Live() => InflightStore.BeforeStore = null;

    /// <summary>Adds a chain of a few buffers, if there is room.</summary>
    public bool Send(int buffers)
    {
        if (_freeCookies.Count == 0)
        {
            return false;
        }

        ushort cookie = _freeCookies.Peek();
        var at = new GuestAddress(_requests.Value + ((ulong)cookie * RequestBytes));
        Span<DriverBuffer> chain = stackalloc DriverBuffer[buffers];
        chain[0] = new DriverBuffer(at, sizeof(int));
        chain[1..].Fill(new DriverBuffer(new GuestAddress(at.Value + 8), 8));
        int readable = _inOrder ? buffers : 1;
        if (!_driver.TryAdd(chain, readable, cookie, _indirect && _sent % 3 != 0))
        {
            return false;
        }

        BitConverter.TryWriteBytes(Memory.Bytes(at, sizeof(int)), _sent);
        _freeCookies.Pop();
        _numberOf[cookie] = _sent++;
        return true;
    }

    public void Show() => _driver.Publish();

    public void Collect()
    {
        while (_driver.TryGetUsed(out ushort cookie, out uint written))
        {
            Assert.True(_collected.Add(_numberOf[cookie]), "completed twice");
            Assert.True(_executed.ContainsKey(_numberOf[cookie]), "completed and never executed");
            Assert.InRange(written, 0u, 8u);
            _freeCookies.Push(cookie);
        }

        Assert.Equal(DriverFault.None, _driver.Fault);
    }

    /// <summary>Frees what came back, for measurements that execute nothing.</summary>
    public void CollectBlindly()
    {
        while (_driver.TryGetUsed(out ushort cookie, out _))
        {
            _freeCookies.Push(cookie);
        }
    }

    /// <summary>Takes up to <paramref name="wanted"/> chains and executes up to <paramref name="limit"/> of them.</summary>
    public int Take(int wanted, int limit)
    {
        int count = Math.Min(Queue.Fill(wanted), limit);
        for (int i = 0; i < count; i++)
        {
            Chain chain = Queue.Peek(i);
            Assert.True(chain.Readable.TryRead(0, out int number));
            Assert.True(number > _delivered, $"request {number} came after {_delivered}");
            Assert.False(_collected.Contains(number), "delivered again after the driver saw it complete");
            _delivered = number;
            _executed[number] = _executed.GetValueOrDefault(number) + 1;
            _held.Add(chain.Token);
        }

        Queue.Consume(count);
        return count;
    }

    /// <summary>Completes the chain that was taken as number <paramref name="index"/> of those in flight.</summary>
    public bool Complete(int index)
    {
        if (_held.Count == 0)
        {
            return false;
        }

        index = _inOrder ? 0 : index % _held.Count;
        ChainToken token = _held[index];
        _held.RemoveAt(index);
        Queue.Complete(token, Math.Min(Queue[token].WritableBytes, 8u));
        return true;
    }

    public void CompleteAll()
    {
        while (Complete(0))
        {
        }
    }

    /// <summary>The device's process is gone; another one starts, which may die too.</summary>
    public void Restart()
    {
        Deaths++;
        Forget();
        Queue.Dispose();
        Queue = new Virtqueue<TRing>(_config, Memory.Table) { Enabled = true };
    }

    /// <summary>Starts devices until one lives.</summary>
    public void RestartUntilAlive()
    {
        Live();
        Restart();
        Assert.Equal(ChainFault.None, Queue.Fault);
    }

    /// <summary>A clean stop, and a start somewhere else.</summary>
    public QueueState Stop()
    {
        CompleteAll();
        Queue.ReturnUnused();
        Queue.Publish();
        QueueState state = Queue.State;
        Forget();
        Queue.Dispose();
        return state;
    }

    public void Start(QueueConfig config) => Queue = new Virtqueue<TRing>(config, Memory.Table) { Enabled = true };

    /// <summary>Runs until every request came back, then looks whether each did exactly once.</summary>
    public void Finish()
    {
        Show();
        for (int turn = 0; _collected.Count < _sent; turn++)
        {
            Assert.True(turn < 10_000, $"lost: {string.Join(' ', Enumerable.Range(0, _sent).Where(number => !_collected.Contains(number)).Take(20))}");
            Take(64, 64);
            CompleteAll();
            Queue.Publish();
            Collect();
        }

        Assert.Equal(ChainFault.None, Queue.Fault);
        Assert.Equal(_sent, _executed.Count);
        Assert.Equal(0, Queue.Unserved);
        Assert.Equal(-1, PartOf(0).IndexOfAnyExcept(Canary));
        Assert.Equal(-1, PartOf(2).IndexOfAnyExcept(Canary));
    }

    public void Dispose()
    {
        Live();
        Queue.Dispose();
        Record.Dispose();
        File.Dispose();
        Memory.Dispose();
    }

    private void Forget()
    {
        _held.Clear();
        _delivered = -1;
    }
}
