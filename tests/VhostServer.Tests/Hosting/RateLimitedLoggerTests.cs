using Microsoft.Extensions.Logging;

namespace Paravane.VhostServer.Tests.Hosting;

public sealed class RateLimitedLoggerTests
{
    [Fact]
    public void A_place_writes_ten_lines_and_others_are_not_affected()
    {
        var lines = new List<string>();
        var log = new RateLimitedLogger(new ListLogger(lines));
        for (int i = 0; i < 1000; i++)
        {
            VhostServerLog.ConnectionDropped(log, "x");
        }

        Assert.Equal(LineLimit.LinesPerWindow, lines.Count);
        VhostServerLog.FrontendRefused(log);
        Assert.Equal(LineLimit.LinesPerWindow + 1, lines.Count);
    }

    private sealed class ListLogger(List<string> lines) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Add(formatter(state, exception));
    }
}
