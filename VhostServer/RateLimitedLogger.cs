using Microsoft.Extensions.Logging;

namespace Paravane.VhostServer;

/// <summary>Bounds each place that logs by a <see cref="LineLimit"/> of its own.</summary>
/// <remarks>Any thread. A place is an event id.</remarks>
internal sealed class RateLimitedLogger(ILogger inner) : ILogger
{
    private readonly Lock _lock = new();
    private readonly Dictionary<int, LineLimit> _places = [];

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

        string remark;
        lock (_lock)
        {
            if (!_places.TryGetValue(eventId.Id, out LineLimit? place))
            {
                _places.Add(eventId.Id, place = new LineLimit());
            }

            if (!place.MayWrite(out remark))
            {
                return;
            }
        }

        inner.Log(logLevel, eventId, state, exception, remark.Length == 0 ? formatter : (value, failure) => formatter(value, failure) + remark);
    }
}
