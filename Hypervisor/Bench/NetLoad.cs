using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
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
    /// <summary>Size of the virtio-net header with VERSION_1 (virtio 1.2 §5.1.6).</summary>
    public const int HeaderBytes = 12;

    private const int CountOffset = 10; // num_buffers
    private const int SampleSlots = 1024;

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

    /// <summary>One sample a burst: the number of frames sent before it, and when it was sent.</summary>
    private readonly long[] _sampleNumber = new long[SampleSlots];
    private readonly long[] _sampleTime = new long[SampleSlots];
    private readonly SequenceCheck _sequence;
    private readonly byte[] _assembly;

    private TRing _receive;
    private TRing _transmit;
    private bool _primed;
    private int _fresh; // transmit buffers that were never sent
    private long _sent;
    private long _returned; // arrived, or counted as lost
    private uint _sampleHead;
    private uint _sampleTail;
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

    /// <summary>The frame under way: chains still to come, bytes so far.</summary>
    private int _chainsLeft;
    private int _frameBytes;

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
        _assembly = new byte[options.Verify ? 1 << 17 : 0];
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
        int frames = _options.Verify || _options.Mergeable ? ReceiveMergeable(used) : ReceivePlain(used);
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

            TakeSamples();
            if (_returned > _sent)
            {
                TakeSurplus();
            }
        }

        return count;
    }

    /// <summary>Without MRG_RXBUF every chain is a frame.</summary>
    private int ReceivePlain(ReadOnlySpan<UsedChain> used)
    {
        long bytes = 0;
        foreach (ref readonly UsedChain chain in used)
        {
            bytes += (long)chain.WrittenBytes - HeaderBytes;
        }

        Counters.Bytes += bytes;
        return used.Length;
    }

    private int ReceiveMergeable(ReadOnlySpan<UsedChain> used)
    {
        if (Sse.IsSupported)
        {
            foreach (ref readonly UsedChain chain in used)
            {
                Sse.Prefetch0(_receiveArea.Host + ((ulong)chain.Cookie * _receiveStride)); // all headers are under way together
            }
        }

        int frames = 0;
        long bytes = 0;
        foreach (ref readonly UsedChain chain in used)
        {
            byte* buffer = _receiveArea.Host + ((ulong)chain.Cookie * _receiveStride);
            if (_chainsLeft == 0)
            {
                int chains = _options.Mergeable ? *(ushort*)(buffer + CountOffset) : 1;
                if (chains == 1 && !_options.Verify)
                {
                    frames++;
                    bytes += (long)chain.WrittenBytes - HeaderBytes;
                    continue;
                }

                BeginFrame(buffer, chains, chain.WrittenBytes);
            }
            else
            {
                ContinueFrame(buffer, chain.WrittenBytes);
            }

            if (_chainsLeft == 0)
            {
                frames++;
                bytes += _frameBytes;
                if (_options.Verify)
                {
                    CheckFrame(_assembly.AsSpan(0, _frameBytes));
                }
            }
        }

        Counters.Bytes += bytes;
        return frames;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void BeginFrame(byte* buffer, int chains, uint writtenBytes)
    {
        if (chains == 0 || chains > _receiveSize)
        {
            Counters.AddError($"pair {_options.Pair}: a frame with num_buffers {chains}");
            chains = 1;
        }

        if (writtenBytes < HeaderBytes)
        {
            Counters.AddError($"pair {_options.Pair}: a frame of {writtenBytes} bytes is shorter than its header");
            writtenBytes = HeaderBytes;
        }

        // No offload was negotiated: flags and gso_type must be 0 (virtio 1.2 §5.1.6.4.1).
        if (*(ushort*)buffer != 0)
        {
            Counters.AddError($"pair {_options.Pair}: a frame with flags 0x{buffer[0]:x} and gso_type 0x{buffer[1]:x}, which were not negotiated");
        }

        _chainsLeft = chains;
        _frameBytes = 0;
        ContinueFrame(buffer + HeaderBytes, writtenBytes - HeaderBytes);
    }

    private void ContinueFrame(byte* from, uint lengthBytes)
    {
        _chainsLeft--;
        if (_options.Verify)
        {
            int room = Math.Min((int)lengthBytes, _assembly.Length - _frameBytes);
            new ReadOnlySpan<byte>(from, room).CopyTo(_assembly.AsSpan(_frameBytes));
            _frameBytes += room;
        }
        else
        {
            _frameBytes += (int)lengthBytes;
        }
    }

    private void CheckFrame(ReadOnlySpan<byte> frame)
    {
        NetFrame.Fault fault = NetFrame.Check(frame, _options.FrameBytes, _options.Pair, out ulong sequence);
        SequenceCheck.Arrival arrival = fault == NetFrame.Fault.None ? _sequence.Receive(sequence) : SequenceCheck.Arrival.InOrder;
        if (fault == NetFrame.Fault.None && arrival == SequenceCheck.Arrival.InOrder)
        {
            Counters.Verified++;
            return;
        }

        Counters.AddError(fault switch
        {
            NetFrame.Fault.Length => $"pair {_options.Pair}: a frame of {frame.Length} bytes came back, {_options.FrameBytes} were sent",
            NetFrame.Fault.Header => $"pair {_options.Pair}: a frame of another kind or pair arrived",
            NetFrame.Fault.Checksum => $"pair {_options.Pair}: a frame with a wrong checksum arrived",
            NetFrame.Fault.Payload => $"pair {_options.Pair}: the payload of frame {sequence} is not what was sent",
            _ => $"pair {_options.Pair}: frame {sequence} arrived {(arrival == SequenceCheck.Arrival.Late ? "after a later one" : arrival == SequenceCheck.Arrival.Duplicate ? "twice" : "but was not sent")}",
        });
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
            AddSample();
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

    private void AddSample()
    {
        if (_sampleTail - _sampleHead < SampleSlots)
        {
            _sampleNumber[_sampleTail % SampleSlots] = _sent;
            _sampleTime[_sampleTail % SampleSlots] = Stopwatch.GetTimestamp();
            _sampleTail++;
        }
    }

    /// <summary>Frames come back in the order they were sent, so counting them tells when a sampled one is back.</summary>
    private void TakeSamples()
    {
        long now = 0;
        while (_sampleHead != _sampleTail && _sampleNumber[_sampleHead % SampleSlots] < _returned)
        {
            now = now == 0 ? Stopwatch.GetTimestamp() : now;
            Counters.Latency.Record(now - _sampleTime[_sampleHead % SampleSlots]);
            _sampleHead++;
        }
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
                    _sampleHead = _sampleTail;
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
        _sampleHead = _sampleTail;
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
