using System.CommandLine;
using System.CommandLine.Parsing;
using Microsoft.Extensions.Logging;

namespace Paravane.VhostServer.Hosting;

/// <summary>The options that every back-end has. Names follow QEMU's conventions for back-end programs and are kept.</summary>
internal sealed class CommonOptions
{
    public Option<string?> SocketPath { get; } = new("--socket-path")
    {
        HelpName = "PATH",
        Description = "Listen on this UNIX socket, or connect to it with --client. A socket file left by a dead process is replaced. "
            + "Example: --socket-path=/run/paravane/disk0.sock",
    };

    public Option<int?> Fd { get; } = new("--fd")
    {
        HelpName = "N",
        Description = "Serve an inherited socket, connected or listening, in place of --socket-path. Example: --fd=3",
    };

    public Option<bool> Client { get; } = new("--client")
    {
        Description = "Connect to --socket-path and retry for ever, in place of listening. Example: --client --socket-path=/run/vm0/disk0.sock",
    };

    public Option<PollSetting> Poll { get; } = new("--poll")
    {
        HelpName = "off|MICROSECONDS|always",
        DefaultValueFactory = _ => PollSetting.Default,
        CustomParser = ParsePoll,
        Description = "How long an idle worker looks at its rings before it sleeps; a number bounds a budget that adapts to the load. Example: --poll=off",
    };

    public Option<int[]> Cpus { get; } = new("--cpus")
    {
        HelpName = "LIST",
        Arity = ArgumentArity.ExactlyOne,
        DefaultValueFactory = _ => [],
        CustomParser = ParseCpus,
        Description = "Pin worker i to entry i of this list, round robin. Example: --cpus=2,4-5",
    };

    public Option<LogLevel> Level { get; } = new("--log-level")
    {
        HelpName = "debug|information|warning|error|none",
        DefaultValueFactory = _ => LogLevel.Information,
        CustomParser = ParseLevel,
        Description = "Least severe message written to standard error. Example: --log-level=warning",
    };

    public Option<string?> Config { get; } = new("--config")
    {
        HelpName = "PATH",
        Description = "Read options from a JSON file: {\"socket-path\": \"/run/disk0.sock\", \"poll\": \"off\"}. Command line and environment win. "
            + "Example: --config=/etc/paravane/disk0.json",
    };

    public Option<bool> PrintCapabilities { get; } = new("--print-capabilities")
    {
        Description = "Print the device type and the optional features as JSON and exit, whatever other options say. Example: --print-capabilities",
    };

    public Option<bool> Help { get; } = new("--help", "-h") { Description = "Print this list and exit. Example: --help" };

    public Option<bool> Version { get; } = new("--version") { Description = "Print the version and exit. Example: --version" };

    /// <summary>All of them, in the order of the help text.</summary>
    public IReadOnlyList<Option> All => [SocketPath, Fd, Client, Poll, Cpus, Level, Config, PrintCapabilities, Help, Version];

    private static PollSetting ParsePoll(ArgumentResult result)
    {
        string text = result.Tokens[^1].Value;
        if (!PollSetting.TryParse(text, out PollSetting setting))
        {
            result.AddError($"--poll={text}: give off, always, or microseconds up to 1000000, such as --poll=50");
        }

        return setting;
    }

    private static int[] ParseCpus(ArgumentResult result)
    {
        string text = result.Tokens[^1].Value;
        if (!CpuList.TryParse(text, out int[] cpus))
        {
            result.AddError($"--cpus={text}: give CPU numbers up to {CpuList.MaxCpu} and ranges, such as --cpus=2,4-5");
        }

        return cpus;
    }

    private static LogLevel ParseLevel(ArgumentResult result)
    {
        string text = result.Tokens[^1].Value;
        switch (text)
        {
            case "trace": return LogLevel.Trace;
            case "debug": return LogLevel.Debug;
            case "information" or "info": return LogLevel.Information;
            case "warning" or "warn": return LogLevel.Warning;
            case "error": return LogLevel.Error;
            case "none": return LogLevel.None;
            default:
                result.AddError($"--log-level={text}: give debug, information, warning, error or none");
                return LogLevel.Information;
        }
    }
}
