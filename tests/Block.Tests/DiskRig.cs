using System.Buffers.Binary;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Paravane.Backends.Block.Spec;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Backends.Block.Tests;

/// <summary>A driver and one queue of a disk, on one thread. The driver's pieces lie apart, between canaries that nobody may touch.</summary>
internal sealed class DiskRig<TDriver> : IDisposable
    where TDriver : struct, IDriverRing<TDriver>
{
    /// <summary>Filling of writable buffers, so that a byte which the device did not write is seen.</summary>
    public const byte Stale = 0xa5;

    private const byte Canary = 0x5c;
    private const int CanaryBytes = 16;

    private readonly Dictionary<ushort, (GuestAddress Address, int LengthBytes)[]> _pending = [];
    private readonly Dictionary<ushort, Answer> _answers = [];
    private readonly List<IQueueLoop> _dead = [];
    private readonly QueueConfig _config;
    private readonly bool _ownsDevice;
    private readonly DriverRingConfig _layout;
    private TDriver _driver;
    private ushort _cookie;

    public DiskRig(Store store, BlockDeviceOptions? options = null, ulong declined = 0, int size = 256, int indirectEntries = 0, InflightRecord? record = null)
        : this(new BlockDevice(store, options ?? new BlockDeviceOptions()), declined, size, indirectEntries, new GuestRam(), record: record) => _ownsDevice = true;

    public DiskRig(BlockDevice device, ulong declined, int size, int indirectEntries, GuestRam ram, int index = 0, InflightRecord? record = null)
    {
        Ram = ram;
        ulong features = device.Traits.Features & ~declined;
        features = typeof(TDriver) == typeof(PackedDriver) ? features : features & ~VirtioFeatures.RingPacked;
        Assert.Null(((IVirtioDevice)device).FindFeatureError(features));
        GuestAddress at = Ram.Allocate(DriverRingConfig.BytesNeeded(size, features, indirectEntries), 4096);
        _layout = DriverRingConfig.Lay(Ram.Table, at, size, features, indirectEntries);
        _driver = TDriver.Open(_layout);
        _config = _layout.ToQueueConfig(index);
        Start(device, record);
    }

    public BlockDevice Device { get; private set; }

    public GuestRam Ram { get; }

    public IQueueLoop Loop { get; private set; }

    public int InFlight => _pending.Count;

    /// <summary>The device does nothing any more; another one takes its queue over.</summary>
    public void Die(BlockDevice successor, InflightRecord? record)
    {
        _dead.Add(Loop);
        Start(successor, record);
    }

    public static byte[] Header(BlkRequestType type, ulong sector)
    {
        var header = new byte[BlkRequestHeader.SizeBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(header, (uint)type);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(8), sector);
        return header;
    }

    /// <summary>Offers a request, cut as wanted, without running the device.</summary>
    /// <param name="readable">Header and data.</param>
    /// <param name="writableBytes">Length of the writable part.</param>
    /// <param name="readCuts">Lengths of the readable pieces; null: one piece.</param>
    /// <param name="writeCuts">Lengths of the writable pieces; null: one piece.</param>
    /// <param name="indirect">Through an indirect table.</param>
    /// <param name="alignment">Of each piece.</param>
    public ushort Send(
        ReadOnlySpan<byte> readable, int writableBytes, int[]? readCuts = null, int[]? writeCuts = null, bool indirect = false, ulong alignment = 1)
    {
        readCuts ??= readable.IsEmpty ? [] : [readable.Length];
        writeCuts ??= writableBytes == 0 ? [] : [writableBytes];
        Assert.Equal(readable.Length, readCuts.Sum());
        Assert.Equal(writableBytes, writeCuts.Sum());
        var buffers = new List<DriverBuffer>();
        foreach (int length in readCuts)
        {
            GuestAddress at = Ram.Allocate((ulong)length, alignment);
            Ram.Write(at, readable[..length]);
            readable = readable[length..];
            buffers.Add(new DriverBuffer(at, (uint)length));
        }

        var pieces = new List<(GuestAddress, int)>();
        var stale = new byte[writableBytes + CanaryBytes];
        foreach (int length in writeCuts)
        {
            Ram.Write(Ram.Allocate(CanaryBytes, 1), Enumerable.Repeat(Canary, CanaryBytes).ToArray());
            GuestAddress at = Ram.Allocate((ulong)length, alignment);
            stale.AsSpan().Fill(Stale);
            Ram.Write(at, stale.AsSpan(0, length));
            Ram.Write(Ram.Allocate(CanaryBytes, 1), Enumerable.Repeat(Canary, CanaryBytes).ToArray());
            buffers.Add(new DriverBuffer(at, (uint)length));
            pieces.Add((at, length));
        }

        ushort cookie = _cookie++;
        Assert.True(_driver.TryAdd(buffers.ToArray(), readCuts.Length, cookie, indirect), "ring is full");
        _pending.Add(cookie, [.. pieces]);
        _driver.Publish();
        return cookie;
    }

    /// <summary>One turn of the device, then whatever it answered is collected.</summary>
    public bool Turn()
    {
        bool worked = Loop.RunBatch();
        while (_driver.TryGetUsed(out ushort cookie, out uint usedBytes))
        {
            Assert.True(_pending.Remove(cookie, out (GuestAddress Address, int LengthBytes)[]? pieces), "answered twice");
            var writable = new List<byte>();
            foreach ((GuestAddress address, int lengthBytes) in pieces)
            {
                writable.AddRange(Ram.Read(address, lengthBytes));
                Assert.All(Ram.Read(new GuestAddress(address.Value + (ulong)lengthBytes), CanaryBytes), value => Assert.Equal(Canary, value));
            }

            _answers.Add(cookie, new Answer([.. writable], usedBytes));
        }

        Assert.Equal(DriverFault.None, _driver.Fault);
        return worked;
    }

    /// <summary>The driver forgets what is in flight and takes all of the ring for its own, from <paramref name="next"/> on.</summary>
    public void Forget(QueueState next)
    {
        _pending.Clear();
        _driver = TDriver.Open(_layout with { Start = next });
    }

    public bool TryTake(ushort cookie, out Answer? answer) => _answers.Remove(cookie, out answer);

    /// <summary>Runs the device until the request is answered.</summary>
    public Answer Wait(ushort cookie)
    {
        long start = Stopwatch.GetTimestamp();
        Answer? answer;
        while (!TryTake(cookie, out answer))
        {
            if (!Turn())
            {
                Thread.Yield();
            }

            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20), "no answer");
        }

        return answer!;
    }

    /// <summary>Sends and waits; guest memory used by it is free again afterwards.</summary>
    public Answer Do(ReadOnlySpan<byte> readable, int writableBytes, int[]? readCuts = null, int[]? writeCuts = null, bool indirect = false, ulong alignment = 1)
    {
        ulong mark = Ram.Mark();
        Answer answer = Wait(Send(readable, writableBytes, readCuts, writeCuts, indirect, alignment));
        if (_pending.Count == 0)
        {
            Ram.Rewind(mark);
        }

        return answer;
    }

    public Answer Read(ulong sector, int lengthBytes) => Do(Header(BlkRequestType.In, sector), lengthBytes + 1);

    public Answer Write(ulong sector, ReadOnlySpan<byte> data) => Do([.. Header(BlkRequestType.Out, sector), .. data], 1);

    public Answer Flush() => Do(Header(BlkRequestType.Flush, 0), 1);

    public Answer Discard(params ReadOnlySpan<BlkSegment> segments) =>
        Do([.. Header(BlkRequestType.Discard, 0), .. MemoryMarshal.AsBytes(segments)], 1);

    public Answer WriteZeroes(params ReadOnlySpan<BlkSegment> segments) =>
        Do([.. Header(BlkRequestType.WriteZeroes, 0), .. MemoryMarshal.AsBytes(segments)], 1);

    public void Dispose()
    {
        Loop.Dispose();
        _dead.ForEach(loop => loop.Dispose());
        if (_ownsDevice)
        {
            Device.Dispose();
            Ram.Dispose();
        }
    }
    [MemberNotNull(nameof(Device), nameof(Loop))]
    private void Start(BlockDevice device, InflightRecord? record)
    {
        Device = device;
        device.AcceptFeatures(_config.Features);
        Loop = device.StartQueue(_config with { Inflight = record }, Ram.Table);
        Loop.Queue.Enabled = true;
    }
}
