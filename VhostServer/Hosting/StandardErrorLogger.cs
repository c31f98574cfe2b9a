using System.Text;
using Microsoft.Extensions.Logging;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Hosting;

/// <summary>Writes one line a message to standard error, never waiting: a reader that stalls loses lines, not the device its control messages.</summary>
/// <remarks>Any thread. Under systemd the line begins with the priority that the journal understands. The console logger would bring a thread and a queue.</remarks>
internal sealed class StandardErrorLogger(bool journal) : ILoggerProvider, ILogger
{
    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => this;

    /// <inheritdoc/>
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    /// <inheritdoc/>
    public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

    /// <inheritdoc/>
    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        (string word, int priority) = logLevel switch
        {
            LogLevel.Trace or LogLevel.Debug => ("debug", 7),
            LogLevel.Information => ("info", 6),
            LogLevel.Warning => ("warning", 4),
            LogLevel.Error => ("error", 3),
            _ => ("critical", 2),
        };
        string text = formatter(state, exception);
        if (exception is not null)
        {
            text = $"{text}: {exception}";
        }

        string line = journal ? $"<{priority}>{text.ReplaceLineEndings(" ")}\n" : $"{word}: {text.ReplaceLineEndings(" ")}\n";
        StandardStream.TryWrite(StandardStream.Error, Encoding.UTF8.GetBytes(line));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
