using System.Diagnostics;
using Paravane.VhostServer.Hosting;

namespace Paravane.VhostServer.Workers;

/// <summary>How long an idle worker goes on looking before it arms and sleeps. Grows while work comes soon after sleeping, shrinks while it does not.</summary>
/// <remarks>Worker thread only. At most one time stamp an idle turn, none a busy one.</remarks>
internal struct PollBudget
{
    private const int StartMicroseconds = 20;

    private readonly long _cap;
    private readonly long _start;
    private readonly bool _isAlways;
    private long _budget;
    private long _idleSince;

    public PollBudget(PollSetting setting)
    {
        _isAlways = setting.IsAlways;
        _cap = _isAlways ? 0 : Ticks(setting.CapMicroseconds);
        _start = Math.Min(_cap, Ticks(StartMicroseconds));
        _budget = _start;
    }

    /// <summary>Work was found: the next idleness starts afresh.</summary>
    public void Reset() => _idleSince = 0;

    /// <summary>After a turn that found nothing.</summary>
    /// <returns>True to look again at once.</returns>
    public bool GoOn()
    {
        if (_isAlways)
        {
            return true;
        }

        long now = Stopwatch.GetTimestamp();
        if (_idleSince == 0)
        {
            _idleSince = now;
            return _budget != 0;
        }

        return now - _idleSince < _budget;
    }

    /// <summary>Learns from a sleep that a ring ended.</summary>
    public void SleptSince(long started)
    {
        long slept = Stopwatch.GetTimestamp() - started;
        _idleSince = 0;
        if (slept <= 2 * _cap)
        {
            _budget = Math.Min(_cap, Math.Max(_start, _budget * 2));
        }
        else
        {
            _budget = _budget / 2 < _start / 4 ? 0 : _budget / 2;
        }
    }

    private static long Ticks(int microseconds) => microseconds * Stopwatch.Frequency / 1_000_000;
}
