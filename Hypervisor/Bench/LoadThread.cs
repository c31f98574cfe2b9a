using System.Diagnostics;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Bench;

/// <summary>The thread that drives loads: turn by turn while there is work, then spinning, then (unless told to poll for ever) asleep.</summary>
internal sealed class LoadThread : IDisposable
{
    /// <summary>Spin budget that never ends.</summary>
    public const int PollAlways = -1;

    /// <summary>Empty turns after which the processor is offered to others: with one core the device could not run otherwise.</summary>
    private const int TurnsBeforeYield = 4096;

    /// <summary>How long a drain may pass without anything coming back before it is given up.</summary>
    private static readonly TimeSpan s_drainPatience = TimeSpan.FromSeconds(5);

    private readonly ILoad[] _loads;
    private readonly Thread _thread;
    private readonly EventFd _wake = new();
    private readonly int _spinMicroseconds;
    private readonly int? _cpu;
    private int _order;

    /// <summary>Prepares a thread called <paramref name="name"/> (15 characters show).</summary>
    /// <param name="name">Thread name.</param>
    /// <param name="loads">What it drives, in turn.</param>
    /// <param name="spinMicroseconds">How long it spins before it sleeps; <see cref="PollAlways"/>: never sleeps.</param>
    /// <param name="cpu">The processor it stays on, or null.</param>
    public LoadThread(string name, IEnumerable<ILoad> loads, int spinMicroseconds, int? cpu)
    {
        _loads = [.. loads];
        _spinMicroseconds = spinMicroseconds;
        _cpu = cpu;
        _thread = new Thread(Run) { Name = name, IsBackground = true };
    }

    private enum Order
    {
        Run,
        Drain,
        Abandon,
    }

    /// <summary>What ended the thread before its time, or null. Read after <see cref="Join"/>.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Starts the loads.</summary>
    public void Start() => _thread.Start();

    /// <summary>Asks for the orderly end: nothing new, wait for what is under way, check.</summary>
    public void Drain() => Give(Order.Drain);

    /// <summary>Asks for the immediate end: what is under way is lost.</summary>
    public void Abandon() => Give(Order.Abandon);

    /// <summary>Waits for the end.</summary>
    /// <returns>False after <paramref name="timeout"/>.</returns>
    public bool Join(TimeSpan timeout)
    {
        if ((_thread.ThreadState & System.Threading.ThreadState.Unstarted) != 0)
        {
            return true;
        }

        return _thread.Join(timeout);
    }

    /// <summary>True when the thread has ended.</summary>
    public bool HasEnded => !_thread.IsAlive;

    /// <summary>After <see cref="Join"/>.</summary>
    public void Dispose() => _wake.Dispose();

    private void Give(Order order)
    {
        Volatile.Write(ref _order, (int)order);
        _wake.Signal();
    }

    private void Run()
    {
        try
        {
            if (_cpu is int cpu)
            {
                Affinity.Pin(cpu);
            }

            using var epoll = new Epoll();
            epoll.Add(_wake.Number, ulong.MaxValue);
            foreach (int call in _loads.SelectMany(load => load.CallDescriptors))
            {
                epoll.Add(call, (ulong)call);
            }

            Loop(epoll);
        }
#pragma warning disable CA1031 // Whatever it was, the thread that reports to the user must hear of it.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            Failure = failure;
            foreach (ILoad load in _loads)
            {
                load.Abandon();
            }
        }
    }

    private void Loop(Epoll epoll)
    {
        long spinTicks = _spinMicroseconds * Stopwatch.Frequency / 1_000_000;
        long idleSince = 0;
        int idleTurns = 0;
        bool draining = false;
        while (true)
        {
            bool any = false;
            foreach (ILoad load in _loads)
            {
                any |= load.RunTurn();
            }

            switch ((Order)Volatile.Read(ref _order))
            {
                case Order.Drain when !draining:
                    draining = true;
                    Array.ForEach(_loads, load => load.BeginDrain());
                    any = true;
                    break;
                case Order.Abandon:
                    Array.ForEach(_loads, load => load.Abandon());
                    return;
                default:
                    break;
            }

            if (draining && Array.TrueForAll(_loads, load => load.IsDone))
            {
                return;
            }

            if (any)
            {
                idleTurns = 0;
                continue;
            }

            idleTurns++;
            if (idleTurns == 1)
            {
                idleSince = Stopwatch.GetTimestamp();
            }

            long idle = idleTurns == 1 ? 0 : Stopwatch.GetTimestamp() - idleSince;
            if (draining && idle > (long)(s_drainPatience.TotalSeconds * Stopwatch.Frequency))
            {
                Array.ForEach(_loads, load => load.Abandon());
                return;
            }

            if (_spinMicroseconds != PollAlways && idle >= spinTicks)
            {
                Sleep(epoll);
            }
            else if (idleTurns % TurnsBeforeYield == 0)
            {
                Thread.Yield();
            }
            else
            {
                Thread.SpinWait(1);
            }
        }
    }

    /// <summary>Asks every load for a call, looks once more, and sleeps until one or an order comes, or it is time to look for what got lost.</summary>
    private void Sleep(Epoll epoll)
    {
        const int TickMilliseconds = 200;
        Span<ulong> tags = stackalloc ulong[16];
        bool armed = true;
        foreach (ILoad load in _loads)
        {
            armed &= load.TryArm();
        }

        if (armed)
        {
            int count = epoll.Wait(tags, TickMilliseconds);
            foreach (ulong tag in tags[..count])
            {
                EventFd.Drain(tag == ulong.MaxValue ? _wake.Number : (int)tag);
            }
        }

        foreach (ILoad load in _loads)
        {
            load.Disarm();
        }
    }
}
