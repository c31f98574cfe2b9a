using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues;

/// <summary>A started queue, as its worker sees it: orders that come between bursts, whatever the ring format.</summary>
/// <remarks>Worker thread only, except for the counters, which any thread may read. One virtual call per order, none per chain.</remarks>
public abstract class Virtqueue : IDisposable
{
    private FileDescriptor? _call;
    private GuestMemory _memory;
    private protected int _callNumber = -1;
    private protected int _inFlight;
    private protected bool _attached;
    private protected bool _isWatched; // completions are logged or recorded
    private long _calls;
    private bool _disposed;

    private protected Virtqueue(QueueConfig config, GuestMemory memory)
    {
        Config = config;
        _memory = memory; // acquired by the derived constructor's last line
    }

    /// <summary>What the queue was started with; ring addresses follow later memory tables.</summary>
    public QueueConfig Config { get; private set; }

    /// <summary>The rule the driver broke, or <see cref="ChainFault.None"/>. Set once; nothing more is taken then.</summary>
    public ChainFault Fault { get; private set; }

    /// <summary>SET_VRING_ENABLE. While false a loop has no side effects on the outside world or on the guest.</summary>
    public bool Enabled { get; set; }

    /// <summary>While true nothing more is taken; what was taken goes on.</summary>
    public bool FetchPaused { get; set; }

    /// <summary>
    /// While true, a chain that points outside guest memory waits rather than breaks the queue: its region may be on the way, since front-ends replace
    /// a region by removing and adding it. Setting it to false has the chain looked at again.
    /// </summary>
    public bool WaitsForMemory
    {
        get;
        set
        {
            field = value;
            IsStalled &= value;
        }
    }

    /// <summary>True while the next chain waits for memory.</summary>
    public bool IsStalled { get; private set; }

    /// <summary>False while guest memory that holds the ring is missing: nothing may be taken, completed or armed.</summary>
    public bool IsAttached => _attached;

    /// <summary>Chains consumed and not yet completed.</summary>
    public int InFlight => _inFlight;

    /// <summary>The table that buffers are translated through.</summary>
    public GuestMemory Memory => _memory;

    /// <summary>Dirty pages go here; null when nothing is logged.</summary>
    public DirtyLog? Log { get; private set; }

    /// <summary>Call eventfd writes so far.</summary>
    public long Calls => Volatile.Read(ref _calls);

    /// <summary>Chains completed so far.</summary>
    public abstract long Completed { get; }

    /// <summary>
    /// Requests of a predecessor (<see cref="QueueConfig.Inflight"/>) that no <c>Fill</c> has brought yet. They come before all others; <see cref="State"/> lies
    /// behind them, so after a stop only the record knows of those that are left.
    /// </summary>
    public abstract int Unserved { get; }

    /// <summary>Where to go on after a stop, once nothing is in flight and <see cref="ReturnUnused"/> was called.</summary>
    public abstract QueueState State { get; }

    /// <summary>Asks for a kick at the next chain and looks again.</summary>
    /// <returns>False when there is work already, so do not sleep. True as well while paused, detached, broken, or waiting for completions to make room.</returns>
    public abstract bool TryArm();

    /// <summary>As <see cref="TryArm"/>, for a loop that can do nothing with the chains in its window until more come.</summary>
    /// <returns>False when there are more already.</returns>
    public abstract bool TryArmForMore();

    /// <summary>Tells the driver not to kick while the worker polls.</summary>
    public abstract void Disarm();

    /// <summary>Gives back chains that were filled but not consumed, so that <see cref="State"/> points at them.</summary>
    public abstract void ReturnUnused();

    /// <summary>True when a chain in flight lies in a region that <paramref name="next"/> lacks, or the ring itself does while chains are in flight.</summary>
    public abstract bool MustDrainFor(GuestMemory next);

    /// <summary>Moves to another table. Legal when <see cref="MustDrainFor"/> said false.</summary>
    /// <param name="config">The same queue, with the ring addresses under the new table.</param>
    /// <param name="memory">The new table; acquired here, and the old one let go.</param>
    /// <returns>False when the ring's memory is gone: the queue is detached until a later table brings it back.</returns>
    public bool TryRemap(QueueConfig config, GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(memory);
        ReturnUnused();
        GuestMemory old = _memory;
        _memory = memory.Acquire();
        Config = config;
        IsStalled = false;
        _attached = Attach(memory);
        old.Release();
        return _attached;
    }

    /// <summary>Replaces the call eventfd and signals the new one once, so that a completion that fell between is not lost.</summary>
    /// <param name="call">Owned by the queue from now on; null: the driver polls.</param>
    public void SetCall(FileDescriptor? call)
    {
        _call?.Dispose();
        _call = call;
        _callNumber = call?.Number ?? -1;
        if (call is not null)
        {
            EventFd.Signal(_callNumber);
        }
    }

    /// <summary>Starts, changes or ends dirty logging. The caller disposes the old log after this returned.</summary>
    /// <param name="log">Null to end it.</param>
    /// <param name="config">The same queue, with <see cref="QueueConfig.UsedLog"/> as wanted.</param>
    public void SetLog(DirtyLog? log, QueueConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        Log = log;
        Config = config;
        _isWatched = log is not null || config.Inflight is not null;
        if (config.Inflight is not null)
        {
            LogRing(); // a predecessor's requests were laid out before the log was known
        }
    }

    /// <summary>Marks the queue broken. The first fault stays.</summary>
    public void Break(ChainFault fault)
    {
        if (Fault == ChainFault.None)
        {
            Fault = fault;
        }
    }

    /// <summary>A chain broke a rule: latched, unless its memory may still come.</summary>
    private protected void Fail(ChainFault fault)
    {
        if (WaitsForMemory && (fault is ChainFault.BufferUnmapped or ChainFault.IndirectUnmapped))
        {
            IsStalled = true;
        }
        else
        {
            Break(fault);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        SetCall(null);
        ReleaseScratch();
        _memory.Release();
        GC.SuppressFinalize(this);
    }

    private protected abstract bool Attach(GuestMemory memory);

    private protected abstract void ReleaseScratch();

    private protected abstract void LogRing();

    private protected void SignalCall()
    {
        if (_callNumber >= 0)
        {
            Volatile.Write(ref _calls, _calls + 1);
            EventFd.Signal(_callNumber);
        }
    }
}
