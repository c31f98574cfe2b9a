using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.Intrinsics.X86;
using Paravane.VhostServer.Hosting;
using Paravane.VhostServer.Transport;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Workers;

/// <summary>One dedicated thread that owns its rings outright. Work comes as ring entries, orders come through a mailbox between turns.</summary>
/// <remarks>The members of this file run on the worker's thread, except for <see cref="Start"/>, <see cref="Post"/> and <see cref="Dispose"/> (session or host).</remarks>
internal sealed partial class QueueWorker : IDisposable
{
    private const ulong MailTag = ulong.MaxValue, WakeTag = ulong.MaxValue - 1;

    /// <summary>Between two looks at idle rings.</summary>
    private const int RestPauses = 8;

    // A ring without a kick has to be looked at: first often, after a while of silence every 4 ms.
    private const int ShortNapMilliseconds = 1, LongNapMilliseconds = 4, ShortNaps = 64;

    // Front-ends replace a region by removing and adding it: what is kicked or taken in between is no fault (threats A5) before the front-end has been silent for so
    // long. While it waits for an answer itself the time does not count.
    private static readonly long s_memoryGrace = 2 * Stopwatch.Frequency;

    private readonly ConcurrentQueue<WorkerOrder> _mail = new();
    private readonly List<WorkerOrder> _orders = [];
    private readonly EventFd _mailSignal = new();
    private readonly Epoll _epoll = new();
    private readonly DeviceHealth _health;
    private readonly SessionWaiter _session;
    private readonly int _cpu;
    private readonly Thread _thread;
    private readonly ulong[] _tags = new ulong[16];
    private readonly TaskCompletionSource _started = new();
    private WorkerQueue[] _queues;
    private int _count;
    private PollBudget _budget;
    private bool _hasMail;
    private bool _fetchStopped;
    private bool _exit;
    private int _unkicked; // running rings without a kick
    private int _unsettled; // running rings whose memory, or a part of what they point to, may be on its way
    private int _naps;
    private long _lastLook;
    private long _orderBytes; // allocated by carrying out orders

    /// <summary>Makes the worker; it runs from <see cref="Start"/> on.</summary>
    /// <param name="name">Thread name, 15 characters at most.</param>
    /// <param name="queueCount">Rings of the whole device.</param>
    /// <param name="poll">How long to look before sleeping.</param>
    /// <param name="cpu">CPU to run on, or −1.</param>
    /// <param name="health">Shared by the workers of the device.</param>
    /// <param name="session">Told of faults and of orders carried out.</param>
    public QueueWorker(string name, int queueCount, PollSetting poll, int cpu, DeviceHealth health, SessionWaiter session)
    {
        _queues = new WorkerQueue[queueCount];
        _budget = new PollBudget(poll);
        _cpu = cpu;
        _health = health;
        _session = session;
        _thread = new Thread(Run) { Name = name, IsBackground = true };
        _epoll.Add(_mailSignal.Number, MailTag);
    }

    /// <summary>Name of its thread.</summary>
    public string Name => _thread.Name!;

    /// <summary>Bytes that the thread allocated besides its orders: a proof that serving rings allocates nothing. Final after <see cref="Dispose"/>.</summary>
    public long ServingBytes { get; private set; }

    /// <summary>Starts the thread.</summary>
    /// <exception cref="LinuxException">It may not run on its CPU; it has ended then.</exception>
    public void Start()
    {
        _thread.Start();
        if (_cpu >= 0)
        {
            _started.Task.GetAwaiter().GetResult();
        }
    }

    /// <summary>Leaves an order. Orders are begun in the order in which they were left.</summary>
    public void Post(WorkerOrder order)
    {
        _mail.Enqueue(order);
        Volatile.Write(ref _hasMail, true); // Release: the order before the flag. Pairs with the acquire in the loop.
        _mailSignal.Signal();
    }

    /// <summary>Ends the thread, which must own no queue any more, and waits for it.</summary>
    public void Dispose()
    {
        Post(new WorkerOrder(worker => worker._exit = true));
        _thread.Join();
        _epoll.Dispose();
        _mailSignal.Dispose();
    }

    private void Run()
    {
        try
        {
            if (!TryPin())
            {
                return;
            }

            long before = GC.GetAllocatedBytesForCurrentThread();
            while (!_exit)
            {
                RunOnce();
            }

            ServingBytes = GC.GetAllocatedBytesForCurrentThread() - before - _orderBytes;
        }
        catch (Exception failure)
        {
            Environment.FailFast($"worker {_thread.Name} cannot go on: {failure.Message}", failure);
        }
    }

    private bool TryPin()
    {
        try
        {
            if (_cpu >= 0)
            {
                Affinity.Pin(_cpu);
            }

            _started.SetResult();
            return true;
        }
        catch (LinuxException failure)
        {
            _started.SetException(failure);
            return false;
        }
    }

    private void RunOnce()
    {
        if (Volatile.Read(ref _hasMail) || _orders.Count != 0)
        {
            CarryOutOrders();
            if (_exit)
            {
                return;
            }
        }

        if (_unsettled != 0)
        {
            LookAfterMemory();
        }

        if (RunTurn())
        {
            _budget.Reset();
            _naps = 0;
            return;
        }

        if (_count != 0 && _budget.GoOn())
        {
            Rest();
            return;
        }

        // A drain that the last turn ended must not wait for the next kick.
        if (TryArmAll() && (_orders.Count == 0 || !CarryOutOrders()))
        {
            ReportFaults(); // arming finds some too, and nothing may end this sleep
            Sleep();
        }

        foreach (WorkerQueue queue in Queues)
        {
            queue.Disarm();
        }
    }

    /// <summary>Some tenths of a microsecond. Each look takes a line away from the driver that is filling the ring; looked at less often, it fills bursts faster.</summary>
    private static void Rest()
    {
        for (int i = 0; i < RestPauses; i++)
        {
            if (X86Base.IsSupported)
            {
                X86Base.Pause();
            }
            else
            {
                Thread.SpinWait(1);
            }
        }
    }

    private ReadOnlySpan<WorkerQueue> Queues => _queues.AsSpan(0, _count);

    /// <summary>Takes mail in and tries each order once.</summary>
    /// <returns>True when one was done.</returns>
    private bool CarryOutOrders()
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        Volatile.Write(ref _hasMail, false);
        Interlocked.MemoryBarrier(); // The store above before the queue is read: an order left in between raises the flag again.
        while (_mail.TryDequeue(out WorkerOrder? order))
        {
            _orders.Add(order);
        }

        bool done = false;
        for (int i = 0; i < _orders.Count;)
        {
            if (_orders[i].TryCarryOut(this))
            {
                _orders.RemoveAt(i);
                done = true;
            }
            else
            {
                i++;
            }
        }

        if (done)
        {
            _session.Notify();
        }

        _orderBytes += GC.GetAllocatedBytesForCurrentThread() - before;
        return done;
    }

    private bool RunTurn()
    {
        if (_health.IsBroken != _fetchStopped)
        {
            _fetchStopped = !_fetchStopped;
            foreach (WorkerQueue queue in Queues)
            {
                UpdatePause(queue);
            }
        }

        bool worked = false;
        foreach (WorkerQueue queue in Queues)
        {
            worked |= queue.Run();
        }

        ReportFaults();
        return worked;
    }

    /// <summary>Of all rings: a transmit queue finds what is wrong with the receive queue that it fills, whose own turn is over by then.</summary>
    private void ReportFaults()
    {
        foreach (WorkerQueue queue in Queues)
        {
            if (queue.Queue.Fault != ChainFault.None && !queue.IsFaultReported)
            {
                Report(queue);
            }
        }
    }

    private void UpdatePause(WorkerQueue queue) => queue.Queue.FetchPaused = queue.IsDraining || _fetchStopped;

    private void Report(WorkerQueue queue)
    {
        queue.IsFaultReported = true;
        _health.Break(queue.Index, queue.Queue.Fault);
        _session.Notify();
    }

    private bool TryArmAll()
    {
        foreach (WorkerQueue queue in Queues)
        {
            if (!queue.TryArm())
            {
                return false;
            }
        }

        foreach (WorkerQueue queue in Queues)
        {
            Watch(queue, queue.IsActive ? queue.Loop.WakeDescriptor : -1);
        }

        return true;
    }

    private void Sleep()
    {
        long started = Stopwatch.GetTimestamp();
        int count = _epoll.Wait(_tags, SleepMilliseconds());
        bool byRing = false;
        for (int i = 0; i < count; i++)
        {
            byRing |= Acknowledge(_tags[i]);
        }

        if (byRing)
        {
            _budget.SleptSince(started);
        }
        else
        {
            _budget.Reset();
        }
    }

    private int SleepMilliseconds()
    {
        int milliseconds = -1;
        if (_unkicked != 0)
        {
            milliseconds = _naps < ShortNaps ? ShortNapMilliseconds : LongNapMilliseconds;
            _naps += _naps < ShortNaps ? 1 : 0;
        }

        foreach (WorkerQueue queue in Queues)
        {
            long since = queue.Queue.IsStalled ? queue.MemoryLostAt : queue.KickedDetachedAt;
            if (since != 0)
            {
                int until = (int)(GraceLeft(since, Stopwatch.GetTimestamp()) * 1000 / Stopwatch.Frequency) + 1;
                milliseconds = milliseconds < 0 ? until : Math.Min(milliseconds, until);
            }
        }

        return milliseconds;
    }

    /// <summary>Takes a wake-up in.</summary>
    /// <returns>True when a ring or its device was the reason, false for the mailbox.</returns>
    private bool Acknowledge(ulong tag)
    {
        if (tag == MailTag)
        {
            _mailSignal.Drain();
            return false;
        }

        if (tag != WakeTag)
        {
            foreach (WorkerQueue queue in Queues)
            {
                if ((ulong)queue.Index == tag)
                {
                    TakeKick(queue);
                }
            }
        }

        return true;
    }

    private void TakeKick(WorkerQueue queue)
    {
        int kick = queue.Kick?.Number ?? -1;
        if (!queue.IsKickWatched || kick < 0)
        {
            return;
        }

        if (EventFd.Drain(kick))
        {
            if (!queue.Queue.IsAttached && queue.Queue.Fault == ChainFault.None && queue.KickedDetachedAt == 0)
            {
                queue.KickedDetachedAt = Stopwatch.GetTimestamp();
            }
        }
        else if (EventFd.IsHungUp(kick))
        {
            // A pipe whose writer has gone stays readable for ever: no kick can come any more.
            Unwatch(queue);
        }
    }

    /// <summary>Time that memory which is missed <paramref name="since"/> may still stay away.</summary>
    private long GraceLeft(long since, long now)
    {
        long answered = _session.AnsweredAt;
        return answered == SessionWaiter.Never ? s_memoryGrace : Math.Max(0, Math.Max(since, answered) + s_memoryGrace - now);
    }

    /// <summary>Memory that stays away too long is a fault: of a ring that is kicked without it, or of a chain that points to it.</summary>
    private void LookAfterMemory()
    {
        long now = Stopwatch.GetTimestamp();
        if (now - _lastLook < Stopwatch.Frequency / 1000)
        {
            return;
        }

        _lastLook = now;
        _unsettled = 0;
        foreach (WorkerQueue queue in Queues)
        {
            if (queue.Queue.WaitsForMemory && GraceLeft(queue.MemoryLostAt, now) == 0)
            {
                queue.Queue.WaitsForMemory = false;
            }

            if (!queue.Queue.IsAttached)
            {
                // Other rings may keep the worker from sleeping, where kicks are taken otherwise.
                TakeKick(queue);
                if (queue.KickedDetachedAt != 0 && GraceLeft(queue.KickedDetachedAt, now) == 0)
                {
                    queue.KickedDetachedAt = 0;
                    queue.Queue.Break(ChainFault.RingUnmapped);
                    Report(queue);
                }
            }

            _unsettled += queue.IsUnsettled ? 1 : 0;
        }
    }
}
