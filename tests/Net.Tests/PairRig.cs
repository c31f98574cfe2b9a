using System.Runtime.InteropServices;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Inflight;

namespace Paravane.Backends.Net.Tests;

/// <summary>One queue pair of a device with a driver on the other side, in one thread: the test plays driver and worker in turn.</summary>
internal sealed class PairRig : IDisposable
{
    private const int IndirectEntries = 256;

    private readonly GuestArena _arena;
    private readonly bool _ownsArena;

    public PairRig(NetDevice device, ulong features, int size = 64, int pair = 0, GuestArena? arena = null, InflightRecord? record = null)
    {
        Assert.Equal(0UL, features & ~device.Traits.Features);
        Assert.Null(((IVirtioDevice)device).FindFeatureError(features));
        _ownsArena = arena is null;
        _arena = arena ?? new GuestArena(64 << 20);
        Device = device;
        Pair = device.Pairs[pair];
        HeaderBytes = HeaderRules.HeaderBytesOf(features);
        DriverRingConfig receive = Lay(size, features), transmit = Lay(size, features);
        ReceiveRing = receive;
        Receive = DriverQueue.Open(receive);
        Transmit = DriverQueue.Open(transmit);
        ReceiveLoop = device.StartQueue(receive.ToQueueConfig(2 * pair) with { Inflight = record }, _arena.Table);
        TransmitLoop = device.StartQueue(transmit.ToQueueConfig((2 * pair) + 1) with { Inflight = record }, _arena.Table);
        ReceiveLoop.Queue.Enabled = TransmitLoop.Queue.Enabled = true;
    }

    public NetDevice Device { get; }

    public QueuePair Pair { get; }

    public int HeaderBytes { get; }

    public DriverRingConfig ReceiveRing { get; }

    public DriverQueue Receive { get; }

    public DriverQueue Transmit { get; }

    public IQueueLoop ReceiveLoop { get; }

    public IQueueLoop TransmitLoop { get; }

    public GuestArena Arena => _arena;

    public static PairRig Loop(Rings rings, ulong more = 0, int size = 64) => new(new NetDevice(new LoopPort(), new NetSettings()), rings.ToFeatures() | more, size);

    /// <summary>A buffer of its own in guest memory.</summary>
    public DriverBuffer Buffer(int lengthBytes) => new(_arena.Allocate((ulong)lengthBytes, 1), (uint)lengthBytes);

    /// <summary>Offers receive chains, each of one buffer.</summary>
    /// <returns>True when the device wants a kick.</returns>
    public bool Offer(params ReadOnlySpan<int> lengths)
    {
        foreach (int length in lengths)
        {
            Assert.True(Receive.Add([Buffer(length)], 0));
        }

        return Receive.Publish();
    }

    /// <summary>Transmits a frame, header and data cut into pieces of the given lengths; the last takes the rest.</summary>
    /// <returns>True when the device wants a kick.</returns>
    public bool Send(NetHeader header, ReadOnlySpan<byte> frame, params ReadOnlySpan<int> cuts) => SendRaw(Bytes(header, frame), cuts);

    /// <summary>As <see cref="Send"/>, any bytes.</summary>
    public bool SendRaw(ReadOnlySpan<byte> bytes, params ReadOnlySpan<int> cuts)
    {
        var buffers = new List<DriverBuffer>();
        foreach (int cut in cuts)
        {
            int now = Math.Min(cut, bytes.Length);
            if (now > 0)
            {
                buffers.Add(Fill(bytes[..now]));
                bytes = bytes[now..];
            }
        }

        if (!bytes.IsEmpty || buffers.Count == 0)
        {
            buffers.Add(Fill(bytes));
        }

        Assert.True(Transmit.Add([.. buffers], buffers.Count, indirect: buffers.Count > 8));
        return Transmit.Publish();
    }

    /// <summary>Turns of both queues until neither finds anything to do. Bounded: a loop that is never done fails the test.</summary>
    public void Run()
    {
        for (int turn = 0; turn < 10_000; turn++)
        {
            bool busy = Turn(ReceiveLoop);
            busy |= Turn(TransmitLoop);
            if (!busy)
            {
                return;
            }
        }

        Assert.Fail("the loops never come to rest");
    }

    /// <summary>Transmit chains that came back; each must have been given back with nothing written.</summary>
    public int TakeSent()
    {
        int count = 0;
        while (Transmit.TryTake(out _, out uint written))
        {
            Assert.Equal(0u, written);
            count++;
        }

        return count;
    }

    /// <summary>The next received frame, or null. Checks the rules for merged buffers on the way.</summary>
    public Received? Take()
    {
        if (!Receive.TryTake(out DriverBuffer[] first, out uint written))
        {
            return null;
        }

        Assert.True(written >= HeaderBytes, $"a used length of {written} has no room for a header");
        byte[] bytes = Contents(first, written);
        NetHeader header = HeaderOf(bytes);
        var frame = new List<byte>(bytes[HeaderBytes..]);
        for (int i = 1; i < header.NumBuffers; i++)
        {
            Assert.Equal(first.Sum(buffer => buffer.LengthBytes), written); // all but the last are full
            Assert.True(Receive.TryTake(out first, out written), "the buffers of a frame become visible together");
            frame.AddRange(Contents(first, written));
        }

        return new Received(header, [.. frame]);
    }

    public NetHeader HeaderOf(ReadOnlySpan<byte> bytes) => HeaderBytes == NetHeader.SizeBytes
        ? MemoryMarshal.Read<NetHeader>(bytes)
        : MemoryMarshal.Read<LegacyNetHeader>(bytes).ToCurrent();

    public byte[] Bytes(NetHeader header, ReadOnlySpan<byte> frame) =>
        [.. MemoryMarshal.AsBytes(new ReadOnlySpan<NetHeader>(in header))[..HeaderBytes], .. frame];

    public void Dispose()
    {
        TransmitLoop.Dispose();
        ReceiveLoop.Dispose();
        if (_ownsArena)
        {
            _arena.Dispose();
        }
    }

    private static bool Turn(IQueueLoop loop) => loop.Queue.Enabled ? loop.RunBatch() : loop.RunDisabled();

    private DriverRingConfig Lay(int size, ulong features) => DriverRingConfig.Lay(
        _arena.Table, _arena.Allocate(DriverRingConfig.BytesNeeded(size, features, IndirectEntries)), size, features, IndirectEntries);

    private DriverBuffer Fill(ReadOnlySpan<byte> bytes)
    {
        DriverBuffer buffer = Buffer(bytes.Length);
        _arena.Write(buffer.Address, bytes);
        return buffer;
    }

    private byte[] Contents(DriverBuffer[] buffers, uint lengthBytes)
    {
        var bytes = new List<byte>();
        foreach (DriverBuffer buffer in buffers)
        {
            int now = (int)Math.Min(buffer.LengthBytes, lengthBytes);
            bytes.AddRange(_arena.Read(buffer.Address, now));
            lengthBytes -= (uint)now;
        }

        return [.. bytes];
    }
}
