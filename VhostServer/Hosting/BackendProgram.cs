using System.CommandLine;
using System.Reflection;
using System.Text;
using System.Text.Json;
using Paravane.VhostServer.Transport;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VhostServer.Hosting;

/// <summary>A whole back-end program around one device: options, environment, JSON file, socket, signals, exit codes.</summary>
/// <remarks>
/// Exit codes: 0 asked to stop, 1 failed, 2 usage. <c>Main</c> is <c>return new BackendProgram { … }.Run(args);</c>.
/// </remarks>
public sealed class BackendProgram
{
    private const int Stopped = 0, Failed = 1, Misused = 2;

    /// <summary>Name of the executable: <c>paravane-blk</c>.</summary>
    public required string Name { get; init; }

    /// <summary>What it does, in one line of the help text.</summary>
    public required string Description { get; init; }

    /// <summary>Device type in <c>--print-capabilities</c>: <c>block</c> or <c>net</c> (vhost-user back-end conventions).</summary>
    public required string DeviceType { get; init; }

    /// <summary>Optional features in <c>--print-capabilities</c>: <c>blk-file</c>, <c>read-only</c>, ….</summary>
    public required IReadOnlyList<string> Capabilities { get; init; }

    /// <summary>Options of the device. Each description ends in «Example: --name=value»; <see cref="Option.HelpName"/> is the placeholder of the value.</summary>
    public IReadOnlyList<Option> Options { get; init; } = [];

    /// <summary>Makes the device, before any socket appears. May throw <see cref="UsageException"/> and <see cref="StartException"/>.</summary>
    public required Func<BackendOptions, IVirtioDevice> CreateDevice { get; init; }

    /// <summary>Runs until the process is asked to stop.</summary>
    /// <returns>The exit code.</returns>
    public int Run(string[] args)
    {
        ArgumentNullException.ThrowIfNull(args);
        StandardStream.Reserve();
        try
        {
            return RunChecked(args);
        }
        catch (UsageException failure)
        {
            return Say(failure.Message, Misused);
        }
        catch (Exception failure) when (failure is StartException or IOException or UnauthorizedAccessException or GuestMemoryException)
        {
            return Say(failure.Message, Failed);
        }
    }

    /// <summary>The answer to <c>--print-capabilities</c>.</summary>
    internal string CapabilitiesJson()
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteString("type", DeviceType);
            writer.WriteStartArray("features");
            foreach (string capability in Capabilities)
            {
                writer.WriteStringValue(capability);
            }

            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    private int RunChecked(string[] args)
    {
        var common = new CommonOptions();
        IReadOnlyList<Option> all = [.. Options, .. common.All];
        if (args.Any(argument => argument == common.PrintCapabilities.Name))
        {
            return Print(CapabilitiesJson() + "\n");
        }

        ParseResult result = new OptionParser(all, common.Config, common.Help, common.Version, common.PrintCapabilities).Parse(args);
        if (result.GetValue(common.PrintCapabilities))
        {
            return Print(CapabilitiesJson() + "\n");
        }

        if (result.GetValue(common.Help))
        {
            return Print(HelpText.For(Name, Description, all));
        }

        if (result.GetValue(common.Version))
        {
            return Print($"{Name} {typeof(BackendProgram).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion}\n");
        }

        if (!BitConverter.IsLittleEndian)
        {
            throw new StartException("only little-endian machines are supported: rings and payloads are used in place");
        }

        VhostServerOptions options = ServerOptions(result, common);
        ServerEndpoint.Check(options); // what the device opens or sets would stay behind
        IVirtioDevice device = CreateDevice(new BackendOptions(result));
        int exitCode = BackendHost.Run(Name, device, options, result.GetValue(common.Level));
        (device as IDisposable)?.Dispose();
        return exitCode;
    }

    private static VhostServerOptions ServerOptions(ParseResult result, CommonOptions common)
    {
        string? path = result.GetValue(common.SocketPath);
        int? fd = result.GetValue(common.Fd);
        bool client = result.GetValue(common.Client);
        if (path is null == fd is null)
        {
            throw new UsageException(fd is null
                ? "--socket-path is missing: give --socket-path=PATH, or --fd=N for an inherited socket"
                : "--socket-path and --fd exclude each other: give one of them");
        }

        if (fd is not null && client)
        {
            throw new UsageException("--client and --fd exclude each other: --client connects to --socket-path");
        }

        return new VhostServerOptions
        {
            SocketPath = path,
            InheritedDescriptor = fd,
            Client = client,
            Poll = result.GetValue(common.Poll),
            Cpus = result.GetValue(common.Cpus) ?? [],
        };
    }

    private static int Print(string text)
    {
        try
        {
            Console.Out.Write(text);
            return Stopped;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new StartException("standard output cannot be written");
        }
    }

    private int Say(string message, int exitCode)
    {
        try
        {
            Console.Error.WriteLine($"{Name}: {message.ReplaceLineEndings(" ")}");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // Closed, or its disk is full: the exit code has to do.
        }

        return exitCode;
    }
}
