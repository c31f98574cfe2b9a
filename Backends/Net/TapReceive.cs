using System.Runtime.InteropServices;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>A receive queue that frames of a TAP arrive on, straight into guest memory.</summary>
/// <remarks>
/// Worker thread only. Without buffers nobody looks at the TAP: the kernel's own queue holds frames back, and the receive queue's kick ends the
/// wait. A frame that turns out longer than the buffers at hand keeps its rest in the TAP queue's spill until more buffers come. While the driver does not
/// want the pair the kernel gives its queue nothing, so that the worker sleeps on it as on any idle one.
/// </remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
internal sealed class TapReceive<TRing> : IQueueLoop
    where TRing : struct, IRing<TRing>
{
    /// <summary>Frames of one turn, one system call each: bounds the time until the transmit queue gets its turn.</summary>
    private const int Burst = 32;

    /// <summary>The guess at the next frame's length falls by this fraction of the difference: a few short frames between long ones do not matter.</summary>
    private const int GuessShift = 4;

    private readonly ReceiveWindow<TRing> _window;
    private readonly QueuePair _pair;
    private readonly TapQueue _tap;
    private readonly ulong _features;
    private readonly bool _mergeable;
    private readonly bool _limitsToMtu;
    private readonly bool _takesPartialChecksum;
    private readonly Action<bool> _follower;
    private int _guessBytes = 1514;
    private int _frameBytes; // length of a frame that was read and not yet delivered; 0: none
    private int _roomBytes; // how much of it the chains at hand took, the header not counted; the rest is in the spill
    private bool _starved; // no chains, or too few for the frame that was read
    private bool _attached;
    private bool _chosen; // the kernel gives frames to the queue; guarded by the pair
    private bool _refused; // it would not change that the last time; likewise

    public TapReceive(QueueConfig config, GuestMemory memory, QueuePair pair, TapQueue tap)
    {
        _window = new ReceiveWindow<TRing>(config, memory);
        _pair = pair;
        _tap = tap;
        _features = config.Features;
        _mergeable = config.Has(NetFeatures.MrgRxBuf);
        _limitsToMtu = config.Has(NetFeatures.Mtu);
        _takesPartialChecksum = config.Has(NetFeatures.GuestCsum);
        _follower = Choose;
        Attach();
    }

    /// <inheritdoc/>
    public Virtqueue Queue => _window.Queue;

    /// <inheritdoc/>
    public int WakeDescriptor => _attached && !_starved && !_tap.IsLost && Queue.Enabled ? _tap.Number : -1;

    /// <inheritdoc/>
    public bool RunBatch()
    {
        if (!_attached)
        {
            Attach();
        }

        if (!_pair.TryBeginReceive())
        {
            Forget();
            _starved = false;
            return false;
        }

        _window.Fill(Burst);
        int frames = 0;
        while (_attached && frames < Burst && TryReceive())
        {
            frames++;
        }

        _window.Publish();
        _pair.EndReceive();
        return frames != 0;
    }

    /// <inheritdoc/>
    public bool RunDisabled()
    {
        Detach();
        return false;
    }

    /// <inheritdoc/>
    public bool TryArm() => !_starved || !Queue.Enabled || Queue.TryArmForMore();

    /// <inheritdoc/>
    public void OnMemoryChanged() => Forget();

    /// <inheritdoc/>
    public void Dispose()
    {
        Detach();
        _window.Dispose();
    }

    private void Attach()
    {
        _pair.Follow(_follower);

        // Header length and offloads hold for the whole interface; every queue of a driver says the same.
        _attached = !_refused && _tap.TrySetHeaderBytes(_window.HeaderBytes) && _tap.TrySetOffloads(TapPort.OffloadsOf(_features));
    }

    private void Detach()
    {
        // A queue that nobody reads would swallow its share of the interface's frames.
        if (_attached)
        {
            _pair.Unfollow();
            Choose(false);
            _attached = _chosen;
            Forget();
        }
    }

    /// <summary>Has the kernel give frames to the queue, or leave it out. This worker or the control queue's, never both at once.</summary>
    private void Choose(bool chosen)
    {
        _refused = chosen != _chosen && !_tap.TryAttach(chosen);
        _chosen = _refused ? _chosen : chosen;
    }

    private void Forget()
    {
        if (_frameBytes != 0)
        {
            _frameBytes = 0;
            _pair.Drops.Count(Drop.Overrun);
        }
    }

    /// <returns>False when there is nothing more to do now: no frame, or no buffers.</returns>
    private bool TryReceive()
    {
        if (_frameBytes == 0 && !TryRead())
        {
            return false;
        }

        Room room = _window.Reserve((uint)(_window.HeaderBytes + _frameBytes), out int chains);
        if (room == Room.Wait)
        {
            _starved = true;
            return false;
        }

        Drop drop = Check(out NetHeader header);
        if (drop == Drop.None && room == Room.Never)
        {
            drop = Drop.Overrun;
        }

        if (drop == Drop.None)
        {
            Deliver(header, chains);
        }
        else
        {
            _pair.Drops.Count(drop);
        }

        _frameBytes = 0;
        return true;
    }

    private bool TryRead()
    {
        // With fewer chains than the guess asks for there is still the spill; with none at all the frame stays in the kernel.
        int headerBytes = _window.HeaderBytes;
        _window.Reserve((uint)(headerBytes + (_mergeable ? _guessBytes : 0)), out int chains);
        _starved = chains == 0;
        if (_starved)
        {
            return false;
        }

        _tap.Begin(headerBytes);
        ulong room = 0;
        for (int i = 0; i < chains && _tap.TryAppend(_window[i], i == 0 ? (uint)headerBytes : 0); i++)
        {
            room += _window[i].LengthBytes;
        }

        int frameBytes = _tap.Receive();
        if (frameBytes <= 0)
        {
            return false;
        }

        _frameBytes = frameBytes;
        _roomBytes = (int)Math.Min(room, TapQueue.MaxFrameBytes * 2) - headerBytes;
        _guessBytes = Math.Max(frameBytes, _guessBytes - ((_guessBytes - frameBytes) >> GuessShift));
        return true;
    }

    private Drop Check(out NetHeader header)
    {
        ReadOnlySpan<byte> bytes = _tap.Header;
        header = _window.HeaderBytes == NetHeader.SizeBytes ? MemoryMarshal.Read<NetHeader>(bytes) : MemoryMarshal.Read<LegacyNetHeader>(bytes).ToCurrent();
        bool segments = header.GsoType != GsoType.None;
        if (_frameBytes > (segments ? FrameLimits.MaxBytes : _pair.Link.MaxFrameBytes(_limitsToMtu)))
        {
            return Drop.Oversize;
        }

        // Frames that were queued for an earlier driver may ask for what this one did not negotiate.
        NetHeaderFlags flags = header.Flags & (_takesPartialChecksum ? NetHeaderFlags.NeedsCsum | NetHeaderFlags.DataValid : NetHeaderFlags.NeedsCsum);
        if (((flags & NetHeaderFlags.NeedsCsum) != 0 && !_takesPartialChecksum) || (segments && !IsNegotiated(header.GsoType)))
        {
            return Drop.NotNegotiated;
        }

        header = new NetHeader(flags, header.GsoType, header.HdrLen, header.GsoSize, header.CsumStart, header.CsumOffset, 1);
        return Drop.None;
    }

    private bool IsNegotiated(GsoType type)
    {
        ulong needed = (type & ~GsoType.Ecn) switch
        {
            GsoType.TcpV4 => NetFeatures.GuestTso4,
            GsoType.TcpV6 => NetFeatures.GuestTso6,
            GsoType.UdpL4 => NetFeatures.GuestUso4 | NetFeatures.GuestUso6,
            _ => ulong.MaxValue,
        };
        needed |= (type & GsoType.Ecn) != 0 ? NetFeatures.GuestEcn : 0;
        return (_features & needed) == needed;
    }

    private void Deliver(NetHeader header, int chains)
    {
        int spillBytes = _frameBytes - _roomBytes;
        if (spillBytes > 0)
        {
            _window.Copy(_tap.Spill[..spillBytes], (uint)(_window.HeaderBytes + _roomBytes));
        }

        _window.WriteHeader(_window[0], header.WithBuffers(chains));
        _window.CompleteFrame(chains, (uint)(_window.HeaderBytes + _frameBytes));
    }
}
