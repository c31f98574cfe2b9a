using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Workers;

/// <summary>One running queue on its worker: the device's loop, the kick, and why it may not fetch at the moment.</summary>
/// <remarks>Worker thread only.</remarks>
internal sealed class WorkerQueue(int index, IQueueLoop loop)
{
    private bool _isArmed = true; // rings are born armed

    /// <summary>Index of the ring in its device.</summary>
    public int Index { get; } = index;

    /// <summary>What the device does with it.</summary>
    public IQueueLoop Loop { get; } = loop;

    /// <summary>The queue.</summary>
    public Virtqueue Queue { get; } = loop.Queue;

    /// <summary>The kick eventfd, or null: the ring is polled.</summary>
    public FileDescriptor? Kick { get; set; }

    /// <summary>True while the kick is in the worker's epoll set.</summary>
    public bool IsKickWatched { get; set; }

    /// <summary>A stop or a new memory table waits for chains in flight.</summary>
    public bool IsDraining { get; set; }

    /// <summary>The fault was reported to the session.</summary>
    public bool IsFaultReported { get; set; }

    /// <summary>The device's own descriptor in the worker's epoll set, or −1.</summary>
    public int WakeDescriptor { get; set; } = -1;

    /// <summary>Time stamp of the first kick while the ring's memory was missing, or 0 (threats A5).</summary>
    public long KickedDetachedAt { get; set; }

    /// <summary>Time stamp of the last table that took memory away (<see cref="Virtqueue.WaitsForMemory"/>).</summary>
    public long MemoryLostAt { get; set; }

    /// <summary>True while the worker has to look after this queue's memory.</summary>
    public bool IsUnsettled => !Queue.IsAttached || Queue.WaitsForMemory;

    /// <summary>True when the loop has something to watch for: it may fetch, or I/O is under way.</summary>
    public bool IsActive => Queue.InFlight != 0 || (MayFetch && Queue.Enabled);

    /// <summary>True while nothing keeps the ring from taking chains.</summary>
    public bool MayFetch => !Queue.FetchPaused && Queue.IsAttached && !Queue.IsStalled && Queue.Fault == ChainFault.None;

    /// <summary>One bounded turn.</summary>
    public bool Run()
    {
        if (MayFetch)
        {
            return Queue.Enabled ? Loop.RunBatch() : RunDisabled();
        }

        return Queue.InFlight != 0 && Loop.RunBatch();
    }

    /// <summary>Before the worker sleeps.</summary>
    /// <returns>False when there is something to do already.</returns>
    public bool TryArm()
    {
        if (!MayFetch)
        {
            return Queue.InFlight == 0 || Arm();
        }

        if (Queue.Enabled)
        {
            return Arm();
        }

        if (Queue.InFlight != 0)
        {
            Queue.FetchPaused = true;
            bool isQuiet = Arm();
            Queue.FetchPaused = false;
            return isQuiet;
        }

        // A disabled queue may leave chains in the ring for ever, so only something done counts against sleeping.
        return Arm() || !Loop.RunDisabled();
    }

    /// <summary>After the worker slept, or did not since a queue had something to do.</summary>
    public void Disarm()
    {
        if (_isArmed)
        {
            _isArmed = false;
            Loop.Disarm();
        }
    }

    private bool Arm()
    {
        _isArmed = true; // also where it fails: by then kicks are asked for, which a worker with work does not need
        return Loop.TryArm();
    }

    private bool RunDisabled()
    {
        if (Queue.InFlight == 0)
        {
            return Loop.RunDisabled();
        }

        // What was taken while the queue was enabled goes on; nothing more is taken.
        Queue.FetchPaused = true;
        bool worked = Loop.RunBatch();
        Queue.FetchPaused = false;
        return worked;
    }
}
