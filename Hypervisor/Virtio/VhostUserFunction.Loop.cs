using System.Diagnostics;
using Paravane.Hypervisor.Frontend;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Tmds.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <content>The device's thread: orders, the connection, its loss and its return.</content>
internal sealed partial class VhostUserFunction
{
    /// <summary>Pause before the first attempt after a loss; each failure doubles it.</summary>
    private static readonly TimeSpan s_firstPause = TimeSpan.FromMilliseconds(10);

    /// <summary>Longest pause between two attempts.</summary>
    private static readonly TimeSpan s_longestPause = TimeSpan.FromSeconds(2);

    /// <summary>A connection that lived this long was a good one: pauses begin anew.</summary>
    private static readonly TimeSpan s_goodLife = TimeSpan.FromSeconds(1);

    /// <summary>Wait without a reason to wake: any long time.</summary>
    private static readonly TimeSpan s_idle = TimeSpan.FromHours(1);

    /// <summary>Signalled by the back-end for a ring that its driver broke; one for all rings.</summary>
    private readonly EventFd _error = new();

    /// <summary>The present socket, to hang up from any thread. Guarded by <see cref="_gate"/>; owned by the front-end.</summary>
    private UnixSocket? _socket;

    private VhostUserFrontend? _frontend; // null: there is no back-end now
    private TimeSpan _pause = s_firstPause;
    private long _nextAttempt;
    private string? _loggedReason;

    private void Run()
    {
        while (!_closing)
        {
            bool isSocketReady = Wait();
            if (_frontend is null)
            {
                if (Stopwatch.GetTimestamp() >= _nextAttempt)
                {
                    TryConnect();
                }
            }
            else if (isSocketReady)
            {
                Attempt(() => _frontend.Serve(TimeSpan.Zero));
            }

            if (_frontend is not null && IsConfigReadDue)
            {
                Attempt(ReadConfigAgain);
            }

            while (!_closing && _orders.TryDequeue(out Action? order))
            {
                order();
            }
        }

        Drop();
        _backEnd.Finish();
        while (_orders.TryDequeue(out Action? order))
        {
            order(); // there is nobody to tell, but callers wait for its end
        }

        ForgetInflight();
    }

    /// <summary>Sleeps until there is something to do.</summary>
    /// <returns>True when the back-end has said something or left.</returns>
    private unsafe bool Wait()
    {
        pollfd* entries = stackalloc pollfd[4];
        for (int i = 0; i < 4; i++)
        {
            entries[i] = default;
            entries[i].events = LibC.POLLIN;
        }

        entries[0].fd = _wake.Number;
        entries[1].fd = _isStarted && !_isBroken ? _error.Number : -1; // once is enough: no back-end keeps this thread awake by it
        entries[2].fd = _frontend?.SocketNumber ?? -1;
        entries[3].fd = _frontend?.ChannelNumber ?? -1;
        _ = Polling.WaitUntil(entries, 4, Math.Min(In(s_idle), _frontend is null ? _nextAttempt : ConfigReadDue));
        if (entries[0].revents != 0)
        {
            _wake.Drain();
        }

        if (entries[1].revents != 0 && _error.Drain())
        {
            Break("the back-end found a ring broken");
        }

        return (entries[2].revents | entries[3].revents) != 0;
    }

    private void TryConnect()
    {
        UnixSocket? socket = null;
        try
        {
            socket = _backEnd.Connect();
            lock (_gate)
            {
                _socket = socket;
                if (_closing)
                {
                    Hang(socket); // Close came first and saw no socket
                }
            }

            Adopt(Greet(socket, _options));
            RestoreConfig();
            if (_isStarted && !_isBroken && !_isPaused)
            {
                Activate(isReplay: true);
                Counters.CountRestart();
            }
        }
        catch (Exception failure) when (failure is IOException or GuestMemoryException)
        {
            Lose(failure.Message);
            socket?.Dispose();
        }
    }

    /// <summary>Negotiates with a back-end, which may have yet to come up.</summary>
    private static VhostUserFrontend Greet(UnixSocket socket, VhostUserOptions options)
    {
        using CancellationTokenRegistration ending = options.Ending.Register(() => Hang(socket));
        return VhostUserFrontend.Attach(socket, options.Frontend);
    }

    private void Adopt(VhostUserFrontend frontend)
    {
        _frontend = frontend;
        IsServed = true;
        Counters.NoteConnection(Stopwatch.GetTimestamp());
        _toldRegions = 0;
        frontend.ConfigChanged += NoteConfigChange;
    }

    /// <summary>Carries a step out; a back-end that fails it is given up.</summary>
    /// <returns>False when the connection was lost, now or before.</returns>
    private bool Attempt(Action step)
    {
        if (_frontend is null)
        {
            return false;
        }

        try
        {
            step();
            return true;
        }
        catch (Exception failure) when (failure is IOException or GuestMemoryException)
        {
            Lose(failure.Message);
            return false;
        }
    }

    /// <summary>Gives the present back-end up and plans the next attempt. The guest hears nothing of it: its requests wait.</summary>
    private void Lose(string reason)
    {
        bool wasGood = _frontend is not null && Stopwatch.GetElapsedTime(Counters.ConnectedAt) >= s_goodLife;
        Drop();
        string? words = _backEnd.End();
        if (_closing)
        {
            return;
        }

        reason = words ?? $"{_backEnd.Name}: {reason}";
        Counters.CountLoss(reason);
        _pause = wasGood ? s_firstPause : _pause;
        _nextAttempt = In(_pause);
        _pause = _pause * 2 < s_longestPause ? _pause * 2 : s_longestPause;
        if (wasGood || reason != _loggedReason)
        {
            _loggedReason = reason;
            _options.Log($"{Name}: {reason}; trying again");
        }
    }

    private void Drop()
    {
        if (_frontend is { } lost && _queues.Values.Any(queue => queue.IsRunning))
        {
            lost.Leave(_backEnd.SettleTime);
        }

        lock (_gate)
        {
            _socket = null;
        }

        IsServed = false;
        _frontend?.Dispose();
        _frontend = null;
        foreach (VhostUserQueue queue in _queues.Values)
        {
            // Nobody has told where it was.
            queue.Position = queue.IsRunning ? null : queue.Position;
            queue.IsRunning = false;
        }
    }

    /// <summary>Ends whatever waits for the other end of <paramref name="socket"/>.</summary>
    private static void Hang(UnixSocket? socket)
    {
        bool isHeld = false;
        try
        {
            socket?.DangerousAddRef(ref isHeld);
            if (isHeld)
            {
                _ = LibC.shutdown(socket!.Number, LibC.SHUT_RDWR);
            }
        }
        catch (ObjectDisposedException)
        {
            // Given up at this very moment: nobody waits any more.
        }
        finally
        {
            if (isHeld)
            {
                socket!.DangerousRelease();
            }
        }
    }
}
