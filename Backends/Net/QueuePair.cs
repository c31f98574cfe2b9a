using System.Runtime.CompilerServices;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Net;

/// <summary>What the receive and the transmit queue of one pair know of each other. Both belong to the same worker, which alone touches this.</summary>
/// <remarks>
/// Excepted is <see cref="Switch"/>, which the control queue calls from its own worker: the first pair always receives, each other one while it is switched on.
/// </remarks>
internal sealed class QueuePair(int index, Link link) : IDisposable
{
    private readonly EventFd? _wake = index == 0 ? null : new EventFd();
    private readonly Lock _gate = new();
    private Action<bool>? _follower; // guarded by _gate
    private volatile bool _isSignalled;
    private bool _isOn = true;
    private bool _isReceiving;

    /// <summary>Number of the pair.</summary>
    public int Index { get; } = index;

    /// <summary>What all pairs share.</summary>
    public Link Link { get; } = link;

    /// <summary>Frames that went nowhere. Any thread may read them.</summary>
    public DropCounters Drops { get; } = new(index);

    /// <summary>The started receive queue of a looped pair, or null.</summary>
    public IQueueLoop? Receive { get; set; }

    /// <summary>Frames wait in the transmit ring until the receive ring has room for the first of them.</summary>
    public bool WaitsForRoom { get; set; }

    /// <summary>The driver wants frames on this pair's receive queue. Any thread.</summary>
    public bool IsOn => Volatile.Read(ref _isOn);

    /// <summary>Readable after the pair was switched, until <see cref="TakeWake"/>; −1 for the first pair, which never is.</summary>
    public int WakeDescriptor => _wake?.Number ?? -1;

    /// <summary>Before frames are given to the receive queue.</summary>
    /// <returns>False while the pair is switched off: none may be. True: <see cref="EndReceive"/> has to follow, at the end of the turn.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryBeginReceive() => Index == 0 || TryEnter();

    /// <summary>The driver sees what was given to the receive queue in this turn.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void EndReceive() => Volatile.Write(ref _isReceiving, false);

    /// <summary>Takes the signal of <see cref="WakeDescriptor"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void TakeWake()
    {
        if (_isSignalled)
        {
            _isSignalled = false;
            _wake!.Drain();
        }
    }

    /// <summary>Calls <paramref name="follower"/> now, and again whenever the pair is switched, until <see cref="Unfollow"/>.</summary>
    /// <param name="follower">Told whether the pair is on; must not call back. Thread of this pair or of the control queue.</param>
    public void Follow(Action<bool> follower)
    {
        lock (_gate)
        {
            _follower = follower;
            follower(_isOn);
        }
    }

    /// <summary>Ends <see cref="Follow"/>: the follower is not under way when this returns.</summary>
    public void Unfollow()
    {
        lock (_gate)
        {
            _follower = null;
        }
    }

    /// <summary>Switches the pair on or off; not the first one. Worker of the control queue.</summary>
    /// <remarks>When it is off on return, nothing is given to its receive queue any more: that may take a turn of another worker.</remarks>
    public void Switch(bool on)
    {
        lock (_gate)
        {
            if (_isOn == on)
            {
                return;
            }

            Volatile.Write(ref _isOn, on);

            // Full fence: the store above before the load below. Pairs with the one in TryEnter: either that sees the pair off, or this sees its turn.
            Interlocked.MemoryBarrier();
            var spinner = default(SpinWait);
            while (!on && Volatile.Read(ref _isReceiving))
            {
                spinner.SpinOnce();
            }

            _follower?.Invoke(on);
        }

        _wake!.Signal();
        _isSignalled = true; // after the counter, which would stay signalled if it were taken in between
    }

    /// <inheritdoc/>
    public void Dispose() => _wake?.Dispose();

    private bool TryEnter()
    {
        Volatile.Write(ref _isReceiving, true);
        Interlocked.MemoryBarrier(); // pairs with the one in Switch
        if (Volatile.Read(ref _isOn))
        {
            return true;
        }

        EndReceive();
        return false;
    }
}
