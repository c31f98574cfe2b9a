using System.CommandLine;
using Paravane.Hypervisor.Verbs;

namespace Paravane.Hypervisor;

/// <summary><c>paravane</c>: the verbs.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        Launch.OwnProcess.Look();
        if (!BitConverter.IsLittleEndian)
        {
            return Verb.Fail(string.Empty, "only little-endian machines are supported", ExitCode.Failed);
        }

        return Run(args);
    }

    /// <summary>Parses and runs a command line.</summary>
    /// <returns>Exit code.</returns>
    internal static int Run(string[] args)
    {
        var bench = new Command("bench", "Measure and verify a device behind any vhost-user socket") { BenchBlock.Create(), BenchNet.Create() };
        var root = new RootCommand("Paravane: virtio devices as isolated processes, and what drives them") { RunVerb.Create(), CtlVerb.Create(), DemoVerb.Create(), CheckVerb.Create(), bench };
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            string verb = VerbOf(parsed.CommandResult.Command);
            string what = parsed.UnmatchedTokens.Count > 0 ? $"'{parsed.UnmatchedTokens[0]}' is not known here" : parsed.Errors[0].Message.TrimEnd('.');
            return Verb.Fail(verb, $"{what}; 'paravane {(verb.Length == 0 ? string.Empty : verb + " ")}--help' lists what is right", ExitCode.Usage);
        }

        return parsed.Invoke();
    }

    private static string VerbOf(Command command) => command is RootCommand
        ? string.Empty
        : $"{VerbOf(command.Parents.OfType<Command>().First())} {command.Name}".TrimStart();
}
