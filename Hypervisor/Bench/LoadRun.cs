using System.Diagnostics;
using Paravane.Hypervisor.Frontend;

namespace Paravane.Hypervisor.Bench;

/// <summary>Runs loads on their threads: preparation, warm-up, measured time, drain and check; watches the connection meanwhile.</summary>
/// <remarks>Main thread. Counters are read from outside, so that measuring costs the loads nothing.</remarks>
internal sealed class LoadRun
{
    private static readonly TimeSpan s_tick = TimeSpan.FromMilliseconds(50);

    /// <summary>Longest wait for the end of a thread that drains and checks.</summary>
    private static readonly TimeSpan s_endPatience = TimeSpan.FromMinutes(5);

    private readonly IReadOnlyList<VhostUserFrontend> _frontends;
    private readonly IReadOnlyList<ILoad> _loads;
    private readonly IReadOnlyList<LoadThread> _threads;

    /// <summary>Spreads <paramref name="loads"/> over threads.</summary>
    /// <param name="frontends">Connections to watch.</param>
    /// <param name="loads">What runs, on thread 0, 1, … in turn.</param>
    /// <param name="spinMicroseconds">How long a thread without work spins before it sleeps; see <see cref="LoadThread"/>.</param>
    /// <param name="cpus">One thread for each, pinned to it; empty: not pinned.</param>
    /// <param name="unpinnedThreads">Threads when <paramref name="cpus"/> is empty.</param>
    public LoadRun(IReadOnlyList<VhostUserFrontend> frontends, IReadOnlyList<ILoad> loads, int spinMicroseconds, IReadOnlyList<int> cpus, int unpinnedThreads = 1)
    {
        _frontends = frontends;
        _loads = loads;
        int count = Math.Clamp(cpus.Count == 0 ? unpinnedThreads : cpus.Count, 1, loads.Count);
        var threads = new List<LoadThread>(count);
        for (int i = 0; i < count; i++)
        {
            int first = i;
            threads.Add(new LoadThread($"load-{i}", loads.Where((_, index) => index % count == first), spinMicroseconds, cpus.Count > i ? cpus[i] : null));
        }

        _threads = threads;
    }

    /// <summary>Time for which nothing is measured at first.</summary>
    public TimeSpan Warmup { get; init; }

    /// <summary>Measured time.</summary>
    public required TimeSpan Runtime { get; init; }

    /// <summary>How long preparation may go on without a single completion on what is not ready yet.</summary>
    public TimeSpan PreparePatience { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Set when the user asks to stop: the run ends early but in order.</summary>
    public CancellationToken Stop { get; init; }

    /// <summary>Called about once a second with the measured time so far.</summary>
    public Action<TimeSpan>? Progress { get; init; }

    /// <summary>Runs to the end.</summary>
    /// <exception cref="FrontendException">The back-end left or broke the protocol, or a thread failed.</exception>
    public LoadResult Execute()
    {
        foreach (LoadThread thread in _threads)
        {
            thread.Start();
        }

        bool inOrder = false;
        try
        {
            LoadResult result = Measure();
            inOrder = true;
            return result;
        }
        finally
        {
            foreach (LoadThread thread in _threads)
            {
                if (!inOrder)
                {
                    thread.Abandon();
                }

                if (thread.Join(s_endPatience))
                {
                    thread.Dispose();
                }
            }
        }
    }

    private LoadResult Measure()
    {
        Prepare();
        Pass(Warmup, null);
        var before = new LatencyHistogram();
        (long doneBefore, long bytesBefore) = Snapshot(before);
        long start = Stopwatch.GetTimestamp();
        Pass(Runtime, Progress);
        var latency = new LatencyHistogram();
        (long done, long bytes) = Snapshot(latency);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        latency.Subtract(before);

        foreach (LoadThread thread in _threads)
        {
            thread.Drain();
        }

        long end = Stopwatch.GetTimestamp() + (long)(s_endPatience.TotalSeconds * Stopwatch.Frequency);
        while (!_threads.All(thread => thread.HasEnded))
        {
            Watch(s_tick);
            if (Stopwatch.GetTimestamp() > end)
            {
                throw new FrontendException("the load does not end");
            }
        }

        foreach (LoadThread thread in _threads)
        {
            if (thread.Failure is Exception failure)
            {
                throw new FrontendException($"a load thread failed: {failure.Message}", failure);
            }
        }

        return new LoadResult
        {
            Seconds = seconds,
            Done = done - doneBefore,
            Bytes = bytes - bytesBefore,
            Latency = latency,
            Lost = _loads.Sum(load => load.Counters.Lost),
            Errors = _loads.Sum(load => load.Counters.Errors),
            Verified = _loads.Sum(load => load.Counters.Verified),
            FirstError = _loads.Select(load => load.Counters.FirstError).FirstOrDefault(error => error is not null),
        };
    }

    private void Prepare()
    {
        long done = 0;
        long since = Stopwatch.GetTimestamp();
        while (!_loads.All(load => load.IsReady) && !Stop.IsCancellationRequested && !_threads.Any(thread => thread.HasEnded))
        {
            Watch(s_tick);
            long now = _loads.Where(load => !load.IsReady).Sum(load => Volatile.Read(ref load.Counters.Done));
            if (now != done)
            {
                (done, since) = (now, Stopwatch.GetTimestamp());
            }
            else if (Stopwatch.GetElapsedTime(since) > PreparePatience)
            {
                string what = _loads.First(load => !load.IsReady).NotReady;
                throw new FrontendException($"the device completes nothing for {PreparePatience.TotalSeconds:0} s: {what}");
            }
        }
    }

    private void Pass(TimeSpan time, Action<TimeSpan>? progress)
    {
        long start = Stopwatch.GetTimestamp();
        TimeSpan nextReport = TimeSpan.FromSeconds(1);
        while (!Stop.IsCancellationRequested && !_threads.Any(thread => thread.HasEnded))
        {
            TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
            if (progress is not null && elapsed >= nextReport)
            {
                progress(elapsed);
                nextReport += TimeSpan.FromSeconds(1);
            }

            if (elapsed >= time)
            {
                return;
            }

            TimeSpan left = time - elapsed;
            Watch(left < s_tick ? left : s_tick);
        }
    }

    /// <summary>Waits while it listens to the back-ends: one that leaves ends the run at once.</summary>
    private void Watch(TimeSpan time)
    {
        foreach (VhostUserFrontend frontend in _frontends)
        {
            frontend.Serve(time / _frontends.Count);
        }
    }

    private (long Done, long Bytes) Snapshot(LatencyHistogram latency)
    {
        latency.Clear();
        long done = 0, bytes = 0;
        foreach (ILoad load in _loads)
        {
            done += Volatile.Read(ref load.Counters.Done);
            bytes += Volatile.Read(ref load.Counters.Bytes);
            latency.Add(load.Counters.Latency);
        }

        return (done, bytes);
    }
}
