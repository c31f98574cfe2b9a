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
        builder.Services.AddSingleton(services => services.GetRequiredService<ILoggerFactory>().CreateLogger(name));
        builder.Services.AddSingleton(services => new VhostUserServer(device, options, services.GetRequiredService<ILogger>()));
        builder.Services.AddSingleton(services => new VhostServerService(
            services.GetRequiredService<VhostUserServer>(), Describe(options), services.GetRequiredService<IHostApplicationLifetime>(), services.GetRequiredService<ILogger>()));
        builder.Services.AddHostedService(services => services.GetRequiredService<VhostServerService>());
        using IHost host = builder.Build();
        VhostServerService service = host.Services.GetRequiredService<VhostServerService>();
        host.Run();
        return service.HasFailed ? 1 : 0;
    }

    private static string Describe(VhostServerOptions options) =>
        options.InheritedDescriptor is { } fd ? $"descriptor {fd}" : options.Client ? $"{options.SocketPath} (as client)" : options.SocketPath!;
}
