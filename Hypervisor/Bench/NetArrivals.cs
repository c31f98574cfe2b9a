using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Driver;

namespace Paravane.Hypervisor.Bench;

/// <summary>What a receive queue brought: puts frames together from their buffers, checks them where that is asked for, counts them.</summary>
/// <remarks>Load thread only. Frame and buffers are those of one <see cref="NetLoad{TRing}"/>: buffer <em>n</em> of the area is the one with cookie <em>n</em>.</remarks>
internal sealed unsafe class NetArrivals
{
    /// <summary>Size of the virtio-net header with VERSION_1 (virtio 1.2 §5.1.6).</summary>
    public const int HeaderBytes = 12;

    private const int CountOffset = 10; // num_buffers

    private readonly NetLoadOptions _options;
    private readonly GuestArea _area;
    private readonly uint _stride;
    private readonly int _queueSize;
    private readonly SequenceCheck _sequence;
    private readonly LoadCounters _counters;
    private readonly byte[] _assembly;

    /// <summary>The frame under way: chains still to come, bytes so far.</summary>
    private int _chainsLeft;
    private int _frameBytes;

    /// <summary>Makes it for one queue.</summary>
    /// <param name="options">Of the load.</param>
    /// <param name="area">The receive buffers.</param>
    /// <param name="strideBytes">From one buffer to the next.</param>
    /// <param name="queueSize">Buffers there are.</param>
    /// <param name="sequence">What was sent.</param>
    /// <param name="counters">Of the load.</param>
    public NetArrivals(NetLoadOptions options, GuestArea area, uint strideBytes, int queueSize, SequenceCheck sequence, LoadCounters counters)
    {
        _options = options;
        _area = area;
        _stride = strideBytes;
        _queueSize = queueSize;
        _sequence = sequence;
        _counters = counters;
        _assembly = new byte[options.Verify ? 1 << 17 : 0];
    }

    /// <summary>Takes chains in, in the order in which the device returned them.</summary>
    /// <returns>Frames that became complete.</returns>
    public int Take(ReadOnlySpan<UsedChain> used) => _options.Verify || _options.Mergeable ? TakeMergeable(used) : TakePlain(used);

    /// <summary>Without MRG_RXBUF every chain is a frame.</summary>
    private int TakePlain(ReadOnlySpan<UsedChain> used)
    {
        long bytes = 0;
        foreach (ref readonly UsedChain chain in used)
        {
            bytes += (long)chain.WrittenBytes - HeaderBytes;
        }

        _counters.Bytes += bytes;
        return used.Length;
    }

    private int TakeMergeable(ReadOnlySpan<UsedChain> used)
    {
        if (Sse.IsSupported)
        {
            foreach (ref readonly UsedChain chain in used)
            {
                Sse.Prefetch0(_area.Host + ((ulong)chain.Cookie * _stride)); // all headers are under way together
            }
        }

        int frames = 0;
        long bytes = 0;
        foreach (ref readonly UsedChain chain in used)
        {
            byte* buffer = _area.Host + ((ulong)chain.Cookie * _stride);
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

        _counters.Bytes += bytes;
        return frames;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void BeginFrame(byte* buffer, int chains, uint writtenBytes)
    {
        if (chains == 0 || chains > _queueSize)
        {
            _counters.AddError($"pair {_options.Pair}: a frame with num_buffers {chains}");
            chains = 1;
        }

        if (writtenBytes < HeaderBytes)
        {
            _counters.AddError($"pair {_options.Pair}: a frame of {writtenBytes} bytes is shorter than its header");
            writtenBytes = HeaderBytes;
        }

        // No offload was negotiated: flags and gso_type must be 0 (virtio 1.2 §5.1.6.4.1).
        if (*(ushort*)buffer != 0)
        {
            _counters.AddError($"pair {_options.Pair}: a frame with flags 0x{buffer[0]:x} and gso_type 0x{buffer[1]:x}, which were not negotiated");
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
            _counters.Verified++;
            return;
        }

        _counters.AddError(fault switch
        {
            NetFrame.Fault.Length => $"pair {_options.Pair}: a frame of {frame.Length} bytes came back, {_options.FrameBytes} were sent",
            NetFrame.Fault.Header => $"pair {_options.Pair}: a frame of another kind or pair arrived",
            NetFrame.Fault.Checksum => $"pair {_options.Pair}: a frame with a wrong checksum arrived",
            NetFrame.Fault.Payload => $"pair {_options.Pair}: the payload of frame {sequence} is not what was sent",
            _ => $"pair {_options.Pair}: frame {sequence} arrived {(arrival == SequenceCheck.Arrival.Late ? "after a later one" : arrival == SequenceCheck.Arrival.Duplicate ? "twice" : "but was not sent")}",
        });
    }
}
