using System.Diagnostics;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.VhostServer.Transport;

/// <summary>All waiting of one session thread: for bytes, for workers, for a stop, and meanwhile for front-ends that have to be turned away.</summary>
/// <remarks>Session thread, except for <see cref="Notify"/>, <see cref="RequestStop"/> and <see cref="AnsweredAt"/>, which any thread may use.</remarks>
internal sealed unsafe class SessionWaiter : IDisposable
{
    /// <summary>No deadline.</summary>
    public const long Never = long.MaxValue;

    private readonly EventFd _wake = new();
    private volatile bool _stopRequested;
    private long _answeredAt;

    /// <summary>Called for each wake-up by <see cref="Notify"/>, inside whatever wait is under way. Must not send anything.</summary>
    public Action? Noticed { get; set; }

    /// <summary>While set, further front-ends at this socket are accepted and closed (threats M20).</summary>
    public UnixSocket? RefuseAt { get; set; }

    /// <summary>Called for each front-end turned away.</summary>
    public Action? Refused { get; set; }

    /// <summary>When the front-end's last message was served (<see cref="Stopwatch"/> ticks); <see cref="Never"/> while one is.</summary>
    public long AnsweredAt
    {
        get => Volatile.Read(ref _answeredAt);
        set => Volatile.Write(ref _answeredAt, value);
    }

    /// <summary>True from <see cref="RequestStop"/> on.</summary>
    public bool StopRequested => _stopRequested;

    /// <summary>A point in time <paramref name="span"/> from now, for the waits.</summary>
    public static long DeadlineIn(TimeSpan span) => Stopwatch.GetTimestamp() + (long)(span.TotalSeconds * Stopwatch.Frequency);

    /// <summary>Wakes the session thread.</summary>
    public void Notify() => _wake.Signal();

    /// <summary>Ends all waits from now on.</summary>
    public void RequestStop()
    {
        _stopRequested = true;
        _wake.Signal();
    }

    /// <summary>Waits until <paramref name="fd"/> is readable (or writable).</summary>
    /// <param name="fd">What to watch; −1 for nothing.</param>
    /// <param name="writable">True waits for room.</param>
    /// <param name="deadline">From <see cref="DeadlineIn"/>, or <see cref="Never"/>.</param>
    /// <param name="endOnNotice">Return <see cref="WaitResult.Noticed"/> after a notice, rather than going on.</param>
    public WaitResult Wait(int fd, bool writable, long deadline, bool endOnNotice = false)
    {
        short interest = (short)(writable ? LibC.POLLOUT : LibC.POLLIN);
        while (true)
        {
            WaitResult result = PollOnce(fd, interest, deadline);
            if (result != WaitResult.Noticed || endOnNotice)
            {
                return result;
            }
        }
    }

    /// <summary>Waits until <paramref name="condition"/> holds; it is looked at after each notice.</summary>
    /// <param name="condition">What to wait for.</param>
    /// <param name="connection">A socket whose end ends the wait, or −1 to go on whatever happens, a stop included.</param>
    public WaitResult WaitUntil(Func<bool> condition, int connection)
    {
        while (!condition())
        {
            WaitResult result = PollOnce(connection, (short)LibC.POLLRDHUP, Never, ignoreStop: connection < 0);
            if (result == WaitResult.Ready)
            {
                return WaitResult.HungUp;
            }

            if (result == WaitResult.Stopped)
            {
                return result;
            }
        }

        return WaitResult.Ready;
    }

    /// <inheritdoc/>
    public void Dispose() => _wake.Dispose();

    private static int MillisecondsTo(long deadline)
    {
        if (deadline == Never)
        {
            return -1;
        }

        long ticks = deadline - Stopwatch.GetTimestamp();
        return ticks <= 0 ? 0 : (int)Math.Min((ticks * 1000 / Stopwatch.Frequency) + 1, int.MaxValue);
    }

    private WaitResult PollOnce(int fd, short interest, long deadline, bool ignoreStop = false)
    {
        if (_stopRequested && !ignoreStop)
        {
            return WaitResult.Stopped;
        }

        // A negative descriptor is skipped by poll.
        pollfd* entries = stackalloc pollfd[3];
        entries[0] = new pollfd { fd = _wake.Number, events = (short)LibC.POLLIN };
        entries[1] = new pollfd { fd = fd, events = (short)((ushort)interest | (ushort)LibC.POLLRDHUP) };
        entries[2] = new pollfd { fd = RefuseAt?.Number ?? -1, events = (short)LibC.POLLIN };
        int milliseconds = MillisecondsTo(deadline);
        int count = Polling.Wait(entries, 3, milliseconds);
        if (count < 0)
        {
            int errno = Errno.Last;
            return errno == Errno.EINTR ? WaitResult.Noticed : throw new LinuxException(errno, "poll");
        }

        // When the peer has gone, the one who knocks is the next one, not a second one.
        bool isPeerGone = (entries[1].revents & (short)LibC.POLLRDHUP) != 0 || (entries[1].revents & (short)LibC.POLLHUP) != 0;
        if (entries[2].revents != 0 && !isPeerGone && RefuseAt?.TryAccept() is { } stranger)
        {
            stranger.Dispose();
            Refused?.Invoke();
        }

        bool noticed = entries[0].revents != 0;
        if (noticed)
        {
            _wake.Drain();
            Noticed?.Invoke();
            if (_stopRequested && !ignoreStop)
            {
                return WaitResult.Stopped;
            }
        }

        if (entries[1].revents != 0)
        {
            return WaitResult.Ready;
        }

        return count == 0 && milliseconds >= 0 && MillisecondsTo(deadline) == 0 ? WaitResult.Elapsed : WaitResult.Noticed;
    }
}
