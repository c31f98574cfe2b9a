using System.Diagnostics;

namespace Paravane.VhostServer;

/// <summary>Lets ten lines in five seconds through and counts the rest: neither a peer nor a guest may fill a disk by what is logged about it.</summary>
/// <remarks>One thread at a time.</remarks>
public sealed class LineLimit
{
    /// <summary>Lines that may be written in one window.</summary>
    public const int LinesPerWindow = 10;

    private long _windowStart;
    private int _lines;
    private int _suppressed;

    /// <summary>Length of a window.</summary>
    public static TimeSpan Window { get; } = TimeSpan.FromSeconds(5);

    /// <summary>Counts a line.</summary>
    /// <param name="remark">What to put behind the line: how many like it were not written, or nothing.</param>
    /// <returns>False when it is one too many.</returns>
    public bool MayWrite(out string remark)
    {
        remark = string.Empty;
        long now = Stopwatch.GetTimestamp();
        if (_windowStart == 0 || Stopwatch.GetElapsedTime(_windowStart, now) >= Window)
        {
            remark = _suppressed == 0 ? string.Empty : $" (and {_suppressed} more like this were not logged)";
            (_windowStart, _lines, _suppressed) = (now, 0, 0);
        }

        if (_lines++ < LinesPerWindow)
        {
            return true;
        }

        _suppressed++;
        return false;
    }
}
