using Paravane.VirtioQueues.Driver;

namespace Paravane.Backends.Net.Tests;

/// <summary>The driver side of one queue, whatever its format: chains of buffers in an arena that are remembered until they come back.</summary>
internal abstract class DriverQueue
{
    private readonly Queue<ushort> _cookies = [];

    protected DriverQueue(int size)
    {
        for (int i = 0; i < size; i++)
        {
            _cookies.Enqueue((ushort)i);
        }

        Chains = new DriverBuffer[size][];
    }

    public DriverBuffer[]?[] Chains { get; }

    public static DriverQueue Open(DriverRingConfig config) => config.Format == VirtioQueues.RingFormat.Packed
        ? new Of<PackedDriver>(config)
        : new Of<SplitDriver>(config);

    /// <summary>Adds a chain, not yet visible.</summary>
    public bool Add(DriverBuffer[] buffers, int readableCount, bool indirect = false)
    {
        if (_cookies.Count == 0 || !TryAdd(buffers, readableCount, _cookies.Peek(), indirect))
        {
            return false;
        }

        Chains[_cookies.Dequeue()] = buffers;
        return true;
    }

    /// <summary>Takes the next used chain.</summary>
    public bool TryTake(out DriverBuffer[] buffers, out uint writtenBytes)
    {
        buffers = [];
        if (!TryGetUsed(out ushort cookie, out writtenBytes))
        {
            return false;
        }

        buffers = Chains[cookie]!;
        Chains[cookie] = null;
        _cookies.Enqueue(cookie);
        return true;
    }

    public abstract bool Publish();

    public abstract bool TryArmCall();

    protected abstract bool TryAdd(DriverBuffer[] buffers, int readableCount, ushort cookie, bool indirect);

    protected abstract bool TryGetUsed(out ushort cookie, out uint writtenBytes);

    private sealed class Of<TDriver>(DriverRingConfig config) : DriverQueue(config.Size)
        where TDriver : struct, IDriverRing<TDriver>
    {
        private TDriver _ring = TDriver.Open(config);

        public override bool Publish() => _ring.Publish();

        public override bool TryArmCall() => _ring.TryArmCall();

        protected override bool TryAdd(DriverBuffer[] buffers, int readableCount, ushort cookie, bool indirect) =>
            _ring.TryAdd(buffers, readableCount, cookie, indirect);

        protected override bool TryGetUsed(out ushort cookie, out uint writtenBytes)
        {
            bool taken = _ring.TryGetUsed(out cookie, out writtenBytes);
            Assert.Equal(DriverFault.None, _ring.Fault);
            return taken;
        }
    }
}
