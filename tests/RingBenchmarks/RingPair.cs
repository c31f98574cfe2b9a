using System.Diagnostics;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;

namespace Paravane.RingBenchmarks;

/// <summary>
/// A looping NIC without sockets: the device thread copies each frame of a transmit ring into a buffer of a receive ring; the generator thread
/// keeps both rings full by posting chains again. Both poll.
/// </summary>
internal sealed class RingPair<TRing, TDriver> : IDisposable
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int Size = 256, Burst = 32, BufferBytes = 2048;

    private readonly RingMemory _memory = new(16 << 20);
    private readonly Virtqueue<TRing> _transmit;
    private readonly Virtqueue<TRing> _receive;
    private TDriver _transmitDriver;
    private TDriver _receiveDriver;
    private bool _stop;

    private RingPair(int frameBytes)
    {
        _transmit = Open(out _transmitDriver);
        _receive = Open(out _receiveDriver);
        GuestAddress sent = _memory.Allocate(Size * BufferBytes), received = _memory.Allocate(Size * BufferBytes);
        for (uint i = 0; i < Size; i++)
        {
            _transmitDriver.TryAdd([new DriverBuffer(new GuestAddress(sent.Value + (i * BufferBytes)), (uint)frameBytes)], 1, (ushort)i);
            _receiveDriver.TryAdd([new DriverBuffer(new GuestAddress(received.Value + (i * BufferBytes)), BufferBytes)], 0, (ushort)i);
        }

        _transmitDriver.Publish();
        _receiveDriver.Publish();
    }

    /// <summary>Frames per second that came back, after a warm-up of half a second.</summary>
    public static double Measure(int frameBytes, double seconds)
    {
        using var pair = new RingPair<TRing, TDriver>(frameBytes);
        var device = new Thread(pair.RunDevice) { Name = "device", IsBackground = true };
        device.Start();
        pair.Generate(0.5);
        long start = Stopwatch.GetTimestamp();
        long frames = pair.Generate(seconds);
        double elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Volatile.Write(ref pair._stop, true);
        device.Join();
        return frames / elapsed;
    }

    public void Dispose()
    {
        _transmit.Dispose();
        _receive.Dispose();
        _memory.Dispose();
    }

    private Virtqueue<TRing> Open(out TDriver driver)
    {
        ulong features = VirtioFeatures.Version1 | VirtioFeatures.EventIdx | (typeof(TRing) == typeof(PackedRing) ? VirtioFeatures.RingPacked : 0);
        DriverRingConfig layout = DriverRingConfig.Lay(_memory.Table, _memory.Allocate(DriverRingConfig.BytesNeeded(Size, features)), Size, features);
        driver = TDriver.Open(layout);
        var queue = new Virtqueue<TRing>(layout.ToQueueConfig(), _memory.Table);
        queue.Disarm();
        return queue;
    }

    private void RunDevice()
    {
        while (!Volatile.Read(ref _stop))
        {
            int count = Math.Min(_transmit.Fill(Burst), _receive.Fill(Burst));
            for (int i = 0; i < count; i++)
            {
                _transmit.Peek(i).Readable.Prefetch();
            }

            for (int i = 0; i < count; i++)
            {
                Chain from = _transmit.Peek(i), to = _receive.Peek(i);
                uint lengthBytes = Math.Min(from.ReadableBytes, to.WritableBytes);
                BufferList.Copy(from.Readable, 0, to.Writable, 0, lengthBytes);
                _receive.Complete(to.Token, lengthBytes);
                _transmit.Complete(from.Token, 0);
            }

            _transmit.Consume(count);
            _receive.Consume(count);
            _receive.Publish();
            _transmit.Publish();
        }
    }

    private long Generate(double seconds)
    {
        Span<UsedChain> used = stackalloc UsedChain[Burst];
        long frames = 0, end = Stopwatch.GetTimestamp() + (long)(seconds * Stopwatch.Frequency);
        while (Stopwatch.GetTimestamp() < end)
        {
            for (int i = 0; i < 64; i++)
            {
                int sent = _transmitDriver.TakeUsedBurst(used);
                _transmitDriver.Repost(used[..sent]);
                _transmitDriver.Publish();
                int received = _receiveDriver.TakeUsedBurst(used);
                _receiveDriver.Repost(used[..received]);
                _receiveDriver.Publish();
                frames += received;
            }
        }

        return _transmitDriver.Fault == DriverFault.None && _receiveDriver.Fault == DriverFault.None
            ? frames
            : throw new InvalidOperationException($"the device broke a ring: {_transmitDriver.Fault}, {_receiveDriver.Fault}");
    }
}
