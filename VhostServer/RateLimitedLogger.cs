using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Paravane.VhostServer;

/// <summary>Lets ten lines in five seconds through for each place that logs, and counts the rest: a peer must not be able to fill a disk.</summary>
/// <remarks>Any thread. A place is an event id.</remarks>
internal sealed class RateLimitedLogger(ILogger inner) : ILogger
{
    /// <summary>Lines that one place may write in one window.</summary>
    public const int LinesPerWindow = 10;

    /// <summary>Length of a window.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private readonly Dictionary<int, Place> _places = [];

    /// <inheritdoc/>
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => inner.BeginScope(state);

    /// <inheritdoc/>
    public bool IsEnabled(LogLevel logLevel) => inner.IsEnabled(logLevel);

    /// <inheritdoc/>
    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        // What only a developer asks for is not bounded.
        if (logLevel <= LogLevel.Debug)
        {
            inner.Log(logLevel, eventId, state, exception, formatter);
            return;
        }

        int suppressed;
        lock (_lock)
        {
            if (!_places.TryGetValue(eventId.Id, out Place? place))
            {
                _places.Add(eventId.Id, place = new Place());
            }

            if (!place.MayWrite(out suppressed))
            {
                return;
            }
        }

        inner.Log(logLevel, eventId, state, exception, suppressed == 0
            ? formatter
            : (value, failure) => $"{formatter(value, failure)} (and {suppressed} more like this were not logged)");
    }

    private sealed class Place
    {
        private long _windowStart;
        private int _lines;
        private int _suppressed;

        public bool MayWrite(out int suppressed)
        {
            suppressed = 0;
            long now = Stopwatch.GetTimestamp();
            if (_windowStart == 0 || Stopwatch.GetElapsedTime(_windowStart, now) >= Window)
            {
                (_windowStart, _lines) = (now, 0);
                (suppressed, _suppressed) = (_suppressed, 0);
            }

            if (_lines++ < LinesPerWindow)
            {
                return true;
            }

            _suppressed++;
            return false;
        }
    }
}
