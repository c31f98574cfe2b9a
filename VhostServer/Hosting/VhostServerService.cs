using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Paravane.VhostServer.Hosting;

/// <summary>A <see cref="VhostUserServer"/> under the Generic Host: it starts with the host, stops with it, and ends it when there is nothing left to serve.</summary>
/// <remarks>The container does not own the server: disposing waits for I/O in flight, and the end of the process need not.</remarks>
/// <param name="server">Stopped here.</param>
/// <param name="endpoint">What the log line says about where it serves.</param>
/// <param name="lifetime">The host's.</param>
/// <param name="log">Where to log.</param>
internal sealed class VhostServerService(VhostUserServer server, string endpoint, IHostApplicationLifetime lifetime, ILogger log) : BackgroundService
{
    /// <summary>True when the server ended although nobody asked it to.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>True when the socket was opened.</summary>
    public bool HasStarted { get; private set; }

    /// <inheritdoc/>
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        server.Start(); // throws before the host counts as started
        HasStarted = true;
        VhostServerLog.Serving(log, endpoint);
        return base.StartAsync(cancellationToken);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using CancellationTokenRegistration stop = stoppingToken.Register(server.RequestStop);
        try
        {
            await server.Completion.ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            HasFailed = true;
            VhostServerLog.ServerFailed(log, failure);
        }

        lifetime.StopApplication();
    }
}
