using System.Diagnostics;
using System.Runtime.CompilerServices;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Bench;

/// <summary>Sends and receives frames on one queue pair, in bursts, with a bounded number of them on their way.</summary>
/// <remarks>
/// A frame is one descriptor in each direction, and its buffer never changes hands: chains that come back are posted again as they are. Without
/// verification nothing of a frame is written again after the start, and of what arrives only the header is looked at, as any driver must.
/// </remarks>
internal sealed unsafe class NetLoad<TRing> : ILoad
    where TRing : struct, IDriverRing<TRing>
{
    private const int HeaderBytes = NetArrivals.HeaderBytes;

    /// <summary>Time without an arrival after which what is on its way counts as lost: many times what any scheduler takes.</summary>
    private static readonly long s_stallTicks = Stopwatch.Frequency;

    /// <summary>Time after which the next frame is tried on a wire that nothing has come back from yet.</summary>
    private static readonly long s_probeTicks = Stopwatch.Frequency / 50;

    private readonly NetLoadOptions _options;
    private readonly UsedChain[] _used;
    private readonly DriverBuffer[] _one = new DriverBuffer[1];
    private readonly GuestArea _receiveArea;
    private readonly GuestArea _transmitArea;
    private readonly uint _receiveStride;
    private readonly uint _receiveBytes;
    private readonly uint _transmitStride;
    private readonly int _receiveSize;
    private readonly int _transmitSize;
    private readonly int _window;

    private readonly BurstSamples _samples = new();
    private readonly SequenceCheck _sequence;
    private readonly NetArrivals _arrivals;

    private TRing _receive;
    private TRing _transmit;
    private bool _primed;
    private int _fresh; // transmit buffers that were never sent
    private long _sent;
    private long _returned; // arrived, or counted as lost
    private long _idleSince;
    private bool _draining;
    private bool _done;

    /// <summary>
    /// A frame has come back. Until then one at a time is sent: a device that has this pair's transmit queue and not yet its receive queue drops what it
    /// is sent, as a NIC does whose link is not up.
    /// </summary>
    private bool _isLinkUp;

    /// <summary>Frames given up on before the first came back.</summary>
    private int _probes;

    /// <summary>Opens both rings and lays the buffers out.</summary>
    public NetLoad(NetLoadOptions options, DriverRingConfig receive, DriverRingConfig transmit, GuestRam ram)
    {
        _options = options;
        _receive = TRing.Open(receive);
        _transmit = TRing.Open(transmit);
        _receiveSize = receive.Size;
        _transmitSize = transmit.Size;
        _used = new UsedChain[options.Burst];
        (_receiveBytes, _receiveStride) = ReceiveBuffer(options.FrameBytes, options.Mergeable);
        _transmitStride = Stride((uint)(HeaderBytes + options.FrameBytes));
        _receiveArea = ram.Allocate(checked((uint)_receiveSize * _receiveStride));
        _transmitArea = ram.Allocate(checked((uint)_transmitSize * _transmitStride));
        int chainsPerFrame = (HeaderBytes + options.FrameBytes + (int)_receiveBytes - 1) / (int)_receiveBytes;
        _window = Math.Min(_receiveSize / chainsPerFrame, _transmitSize);
        _fresh = _transmitSize;
        _sequence = new SequenceCheck(Math.Max(1, _window));
        _arrivals = new NetArrivals(options, _receiveArea, _receiveStride, _receiveSize, _sequence, Counters);
        for (int i = 0; i < _transmitSize; i++)
        {
            NetFrame.Begin(FrameOf(i), options.Pair);
            NetFrame.Write(FrameOf(i), (ulong)i);
        }
    }

    /// <inheritdoc/>
    public LoadCounters Counters { get; } = new();

    /// <inheritdoc/>
    public bool IsReady => _options.Mode != NetMode.Loop || Volatile.Read(ref _isLinkUp);

    /// <inheritdoc/>
    public string NotReady => $"no frame came back on pair {_options.Pair}";

    /// <inheritdoc/>
    public bool IsDone => _done;

    /// <inheritdoc/>
    public IReadOnlyList<int> CallDescriptors => [_options.ReceiveCall.Number, _options.TransmitCall.Number];

    /// <summary>Guest memory that a pair takes besides its rings.</summary>
    public static ulong BytesNeeded(int frameBytes, bool mergeable, int queueSize) =>
        ((ulong)queueSize * (ReceiveBuffer(frameBytes, mergeable).Stride + Stride((uint)(HeaderBytes + frameBytes)))) + 256;

    /// <inheritdoc/>
    public bool RunTurn()
    {
        if (!_primed)
        {
            Prime();
        }

        int received = _options.Mode == NetMode.Transmit ? 0 : Receive();
        int sent = _draining || _options.Mode == NetMode.Receive ? 0 : Send();
        if (received + sent > 0)
        {
            _idleSince = 0;
            return true;
        }

        return RunIdle();
    }

    /// <inheritdoc/>
    public bool TryArm()
    {
        bool armed = _options.Mode == NetMode.Transmit || _receive.TryArmCall();

        // Transmit buffers that come back matter only when they are what is waited for.
        return (_options.Mode != NetMode.Transmit && _sent - _returned >= _window) || _options.Mode == NetMode.Receive ? armed : _transmit.TryArmCall() && armed;
    }

    /// <inheritdoc/>
    public void Disarm()
    {
        _receive.DisarmCall();
        _transmit.DisarmCall();
    }

    /// <inheritdoc/>
    public void BeginDrain() => _draining = true;

    /// <inheritdoc/>
    public void Abandon()
    {
        if (!_done)
        {
            LoseAll();
            _done = true;
        }
    }

    private void Prime()
    {
        _primed = true;
        if (_options.Mode == NetMode.Transmit)
        {
            return;
        }

        for (int i = 0; i < _receiveSize; i++)
        {
            _one[0] = new DriverBuffer(new GuestAddress(_receiveArea.Guest.Value + ((ulong)i * _receiveStride)), _receiveBytes);
            _ = _receive.TryAdd(_one, 0, (ushort)i);
        }

        if (_receive.Publish())
        {
            _options.ReceiveKick.Signal();
        }
    }

    /// <summary>Takes a burst of arrivals and gives their buffers back at once.</summary>
    private int Receive()
    {
        int count = _receive.TakeUsedBurst(_used);
        if (count == 0)
        {
            return 0;
        }

        ReadOnlySpan<UsedChain> used = _used.AsSpan(0, count);
        int frames = _arrivals.Take(used);
        _receive.Repost(used);
        if (_receive.Publish())
        {
            _options.ReceiveKick.Signal();
        }

        Counters.Done += frames;
        _returned += frames;
        if (_options.Mode == NetMode.Loop)
        {
            if (!_isLinkUp)
            {
                Volatile.Write(ref _isLinkUp, true);
            }

            _samples.Arrived(_returned, Counters.Latency);
            if (_returned > _sent)
            {
                TakeSurplus();
            }
        }

        return count;
    }

    /// <summary>Sends what the window allows, up to a burst: buffers that came back, then ones that were never used.</summary>
    private int Send()
    {
        long room = _options.Mode == NetMode.Loop ? (_isLinkUp ? _window : 1) - (_sent - _returned) : _options.Burst;
        int wanted = (int)Math.Min(room, _options.Burst);
        if (wanted <= 0)
        {
            return 0;
        }

        int count = _transmit.TakeUsedBurst(_used.AsSpan(0, wanted));
        ReadOnlySpan<UsedChain> used = _used.AsSpan(0, count);
        if (_options.Verify)
        {
            foreach (ref readonly UsedChain chain in used)
            {
                NetFrame.Write(FrameOf(chain.Cookie), _sequence.Send());
            }
        }

        if (count > 0)
        {
            _transmit.Repost(used);
        }

        int fresh = Math.Min(wanted - count, _fresh);
        for (int i = 0; i < fresh; i++)
        {
            SendFresh();
        }

        int sent = count + fresh;
        if (sent == 0)
        {
            return 0;
        }

        if (_options.Mode == NetMode.Loop)
        {
            _samples.Sent(_sent);
        }
        else
        {
            Counters.Done += count;
            Counters.Bytes += (long)count * _options.FrameBytes;
            _returned += count;
        }

        _sent += sent;
        Counters.Sent += sent;
        if (_transmit.Publish())
        {
            _options.TransmitKick.Signal();
        }

        return sent;
    }

    private void SendFresh()
    {
        int slot = _transmitSize - _fresh--;
        if (_options.Verify)
        {
            NetFrame.Write(FrameOf(slot), _sequence.Send());
        }

        ulong address = _transmitArea.Guest.Value + ((ulong)slot * _transmitStride);
        _one[0] = new DriverBuffer(new GuestAddress(address), (uint)(HeaderBytes + _options.FrameBytes));
        _ = _transmit.TryAdd(_one, 1, (ushort)slot);
    }

    /// <summary>More came back than was on its way: late after all, or more than was sent.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TakeSurplus()
    {
        long surplus = _returned - _sent;
        long late = Math.Min(surplus, Counters.Lost);
        Counters.Lost -= late;
        int probes = (int)Math.Min(surplus - late, _probes);
        _probes -= probes;
        if (surplus > late + probes && !_options.Verify)
        {
            Counters.AddError($"pair {_options.Pair}: more frames came back than were sent");
        }

        _returned = _sent;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool RunIdle()
    {
        if (_done)
        {
            return false;
        }

        if (_receive.Fault != DriverFault.None || _transmit.Fault != DriverFault.None)
        {
            Counters.AddError($"pair {_options.Pair}: the device broke the ring: {(_receive.Fault != DriverFault.None ? _receive.Fault : _transmit.Fault)}");
            Abandon();
            return false;
        }

        if (_draining)
        {
            // The device may still hold transmit buffers whose frames it dropped.
            int count = _transmit.TakeUsedBurst(_used);
            _transmit.Release(_used.AsSpan(0, count));
            if (_options.Mode == NetMode.Transmit)
            {
                Counters.Done += count;
                _returned += count;
            }

            _done = _options.Mode == NetMode.Receive || _returned == _sent;
            if (_done)
            {
                LoseAll();
            }

            return count > 0;
        }

        if (_options.Mode == NetMode.Loop && _sent != _returned)
        {
            long now = Stopwatch.GetTimestamp();
            if (_idleSince == 0)
            {
                _idleSince = now;
            }
            else if (!_isLinkUp)
            {
                if (now - _idleSince > s_probeTicks)
                {
                    _probes++;
                    _returned = _sent;
                    _samples.Forget();
                    _idleSince = 0;
                }
            }
            else if (now - _idleSince > s_stallTicks && (_transmit.InFlight == 0 || _sent - _returned >= _window))
            {
                LoseAll();
                _idleSince = 0;
            }
        }

        return false;
    }

    private void LoseAll()
    {
        if (_options.Mode == NetMode.Loop && _sent > _returned)
        {
            Counters.Lost += _sent - _returned;
        }

        if (!_isLinkUp)
        {
            Counters.Lost += _probes; // the link never came up: these are all that there was
            _probes = 0;
        }

        _returned = _sent;
        _samples.Forget();
    }

    private Span<byte> FrameOf(int slot) => new(_transmitArea.Host + ((long)slot * _transmitStride) + HeaderBytes, _options.FrameBytes);

    /// <summary>Buffers as large as drivers use them; without MRG_RXBUF large enough for the frame.</summary>
    private static (uint Bytes, uint Stride) ReceiveBuffer(int frameBytes, bool mergeable)
    {
        const uint Usual = 2048;
        uint bytes = mergeable ? Usual : Math.Max(Usual, (uint)(HeaderBytes + frameBytes));
        return (bytes, Stride(bytes));
    }

    /// <summary>An odd number of cache lines: buffers spread over all sets of the cache.</summary>
    private static uint Stride(uint bytes) => (((bytes + 63) / 64) | 1) * 64;
}
