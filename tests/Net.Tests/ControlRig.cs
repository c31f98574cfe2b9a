using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Inflight;

namespace Paravane.Backends.Net.Tests;

/// <summary>The control queue of a device with a driver on the other side, in one thread.</summary>
internal sealed class ControlRig : IDisposable
{
    /// <summary>What answers hold before the device writes one.</summary>
    public const byte Untouched = 0xee;

    private const int Size = 64, IndirectEntries = 64;

    private readonly GuestArena _arena;
    private readonly bool _ownsArena;
    private readonly DriverQueue _queue;
    private readonly QueueConfig _config;
    private readonly List<IQueueLoop> _dead = [];

    public ControlRig(NetDevice device, ulong features, int? index = null, GuestArena? arena = null, InflightRecord? record = null)
    {
        Assert.Equal(0UL, features & ~device.Traits.Features);
        _ownsArena = arena is null;
        _arena = arena ?? new GuestArena(16 << 20);
        DriverRingConfig config = DriverRingConfig.Lay(
            _arena.Table, _arena.Allocate(DriverRingConfig.BytesNeeded(Size, features, IndirectEntries)), Size, features, IndirectEntries);
        _queue = DriverQueue.Open(config);
        _config = config.ToQueueConfig(index ?? (2 * device.Pairs.Count));
        Loop = Start(device, record);
    }

    public IQueueLoop Loop { get; private set; }

    /// <summary>All that control queues can have, and the rings wanted.</summary>
    public static ulong FeaturesOf(Rings rings, int pairs = 2) =>
        rings.ToFeatures() | NetFeatures.CtrlVq | NetFeatures.CtrlRx | NetFeatures.CtrlMacAddr | (pairs > 1 ? NetFeatures.Mq : 0);

    /// <summary>The device does nothing any more, at whatever it was; another one takes its queue over.</summary>
    public void Die(NetDevice successor, InflightRecord? record)
    {
        _dead.Add(Loop);
        Loop = Start(successor, record);
    }

    /// <summary>Sends a command in pieces of the given lengths; the last takes the rest.</summary>
    /// <returns>The answer: 0 OK, 1 ERR.</returns>
    public byte Send(ReadOnlySpan<byte> command, params ReadOnlySpan<int> cuts)
    {
        byte[] answer = Exchange(command, [1], out uint written, cuts);
        Assert.Equal(1u, written);
        return answer[0];
    }

    /// <summary>As <see cref="Send"/>, with any room for the answer.</summary>
    /// <returns>What the room holds afterwards.</returns>
    public byte[] Exchange(ReadOnlySpan<byte> command, ReadOnlySpan<int> rooms, out uint writtenBytes, params ReadOnlySpan<int> cuts)
    {
        var buffers = new List<DriverBuffer>();
        foreach (int cut in cuts)
        {
            buffers.Add(Fill(command[..cut]));
            command = command[cut..];
        }

        if (!command.IsEmpty)
        {
            buffers.Add(Fill(command));
        }

        int readable = buffers.Count;
        foreach (int room in rooms)
        {
            byte[] empty = new byte[room];
            Array.Fill(empty, Untouched);
            buffers.Add(Fill(empty));
        }

        Assert.True(_queue.Add([.. buffers], readable, indirect: buffers.Count > 4));
        _queue.Publish();
        while (Loop.RunBatch())
        {
        }

        Assert.True(_queue.TryTake(out DriverBuffer[] back, out writtenBytes), "the command came back");
        return [.. back.Skip(readable).SelectMany(buffer => _arena.Read(buffer.Address, (int)buffer.LengthBytes))];
    }

    /// <summary>Publishes several commands before the device looks.</summary>
    /// <returns>The answers in the order in which they came.</returns>
    public byte[] SendAll(params ReadOnlySpan<byte[]> commands)
    {
        foreach (byte[] command in commands)
        {
            Assert.True(_queue.Add([Fill(command), Fill([Untouched])], 1));
        }

        _queue.Publish();
        while (Loop.RunBatch())
        {
        }

        var answers = new List<byte>();
        while (_queue.TryTake(out DriverBuffer[] back, out uint written))
        {
            Assert.Equal(1u, written);
            answers.Add(_arena.Read(back[1].Address, 1)[0]);
        }

        return [.. answers];
    }

    public void Dispose()
    {
        Loop.Dispose();
        _dead.ForEach(loop => loop.Dispose());
        if (_ownsArena)
        {
            _arena.Dispose();
        }
    }

    private IQueueLoop Start(NetDevice device, InflightRecord? record)
    {
        IQueueLoop loop = device.StartQueue(_config with { Inflight = record }, _arena.Table);
        loop.Queue.Enabled = true;
        return loop;
    }

    private DriverBuffer Fill(ReadOnlySpan<byte> bytes)
    {
        var buffer = new DriverBuffer(_arena.Allocate((ulong)bytes.Length, 1), (uint)bytes.Length);
        _arena.Write(buffer.Address, bytes);
        return buffer;
    }
}
