using Microsoft.Extensions.Logging;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;

namespace Paravane.VhostServer;

/// <summary>Every line that this library logs. One method is one place, which <see cref="RateLimitedLogger"/> bounds.</summary>
internal static partial class VhostServerLog
{
    [LoggerMessage(1, LogLevel.Information, "A front-end connected")]
    public static partial void Connected(ILogger log);

    [LoggerMessage(2, LogLevel.Information, "The front-end has gone")]
    public static partial void Disconnected(ILogger log);

    [LoggerMessage(3, LogLevel.Warning, "A second front-end was turned away: the device serves one at a time")]
    public static partial void FrontendRefused(ILogger log);

    [LoggerMessage(4, LogLevel.Warning, "Connection dropped: {Reason}")]
    public static partial void ConnectionDropped(ILogger log, string reason);

    [LoggerMessage(5, LogLevel.Warning, "Refused: {Reason}")]
    public static partial void RequestRefused(ILogger log, string reason);

    [LoggerMessage(6, LogLevel.Error, "Connection dropped, {Request} failed unexpectedly")]
    public static partial void SessionFailed(ILogger log, FrontendRequest request, Exception failure);

    [LoggerMessage(7, LogLevel.Debug, "{Request}: {PayloadBytes} bytes, {Descriptors} descriptors")]
    public static partial void Request(ILogger log, string request, uint payloadBytes, int descriptors);

    [LoggerMessage(8, LogLevel.Debug, "vring {Index} started: {Size} descriptors, {Format}, base 0x{Base:x}, enabled {Enabled}")]
    public static partial void RingStarted(ILogger log, int index, int size, RingFormat format, uint @base, bool enabled);

    [LoggerMessage(9, LogLevel.Debug, "vring {Index} stopped at base 0x{Base:x}")]
    public static partial void RingStopped(ILogger log, int index, uint @base);

    [LoggerMessage(10, LogLevel.Error, "vring {Index} is broken, and the device fetches nothing until it is stopped or reset: {Fault}")]
    public static partial void RingBroken(ILogger log, int index, ChainFault fault);

    [LoggerMessage(11, LogLevel.Information, "Serving at {Endpoint}")]
    public static partial void Serving(ILogger log, string endpoint);

    [LoggerMessage(12, LogLevel.Critical, "The server cannot go on")]
    public static partial void ServerFailed(ILogger log, Exception failure);

    [LoggerMessage(13, LogLevel.Debug, "Worker {Name} ended; {Bytes} bytes allocated while it served rings")]
    public static partial void WorkerEnded(ILogger log, string name, long bytes);

    [LoggerMessage(14, LogLevel.Warning, "{What}")]
    public static partial void Trouble(ILogger log, string what);

    [LoggerMessage(15, LogLevel.Warning, "vring {Index} does not start: its addresses are in no memory region; is guest memory shared with this process (share=on)?")]
    public static partial void RingWithoutMemory(ILogger log, int index);
}
