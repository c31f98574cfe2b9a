using System.Runtime.InteropServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Hosting.Systemd;
using Microsoft.Extensions.Logging;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Hosting;

/// <summary>Runs one device under the Generic Host: signals, systemd, logging.</summary>
internal static class BackendHost
{
    // A disk that hangs must not keep a process alive that was asked to end.
    private static readonly TimeSpan s_stopLimit = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan s_lastWait = TimeSpan.FromSeconds(1);

    public static int Run(string name, IVirtioDevice device, VhostServerOptions options, LogLevel level)
    {
        CurrentProcess.ForbidInspection();
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = name });
        builder.Services.AddSystemd();
        builder.Services.Configure<ConsoleLifetimeOptions>(lifetime => lifetime.SuppressStatusMessages = true);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = s_stopLimit);
        using var provider = new StandardErrorLogger(SystemdHelpers.IsSystemdService());
        builder.Logging.SetMinimumLevel(level);
        builder.Logging.AddFilter("Microsoft", LogLevel.None); // a failed start is told by its one line, not by the host's stack trace
        builder.Logging.AddProvider(provider);
        VhostUserServer? server = null;
        builder.Services.AddSingleton(services =>
        {
            ILogger log = services.GetRequiredService<ILoggerFactory>().CreateLogger(name);
            server = new VhostUserServer(device, options, log);
            return new VhostServerService(server, Describe(options), services.GetRequiredService<IHostApplicationLifetime>(), log);
        });
        builder.Services.AddHostedService(services => services.GetRequiredService<VhostServerService>());
        using IHost host = builder.Build();
        VhostServerService service = host.Services.GetRequiredService<VhostServerService>();
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => // the others are the host's
        {
            context.Cancel = true;
            host.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        });
        try
        {
            host.Run();
        }
        catch (OperationCanceledException)
        {
            // The limit passed: what follows is the same as after an orderly stop, but for what still runs.
        }

        if (service.HasStarted)
        {
            // A signal in the midst of the start ends the host before it ran the service's task, which would have passed the request on.
            server!.RequestStop();
            Task.WhenAny(server.Completion, Task.Delay(s_lastWait)).Wait();
        }

        if (!server!.Completion.IsCompleted)
        {
            Environment.Exit(0); // I/O hangs in the kernel, which alone may end it; nothing it uses is freed before
        }

        return service.HasFailed ? 1 : 0;
    }

    private static string Describe(VhostServerOptions options) =>
        options.InheritedDescriptor is { } fd ? $"descriptor {fd}" : options.Client ? $"{options.SocketPath} (as client)" : options.SocketPath!;
}
