using System.CommandLine;
using System.CommandLine.Parsing;
using Paravane.Hypervisor.Verbs;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor;

/// <summary><c>paravane</c>: the verbs.</summary>
internal static class Program
{
    // No response files: an argument that begins with @ is a value like any other.
    private static readonly ParserConfiguration s_configuration = new() { ResponseFileTokenReplacer = null };

    private static int Main(string[] args)
    {
        StandardStream.Reserve();
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
        root.Directives.Clear();
        try
        {
            args = Switches.Spell(args, root);
        }
        catch (UsageException wrong)
        {
            return Verb.Fail(VerbOf(root.Parse(args, s_configuration).CommandResult.Command), wrong.Message, ExitCode.Usage);
        }

        ParseResult parsed = root.Parse(args, s_configuration);
        string verb = VerbOf(parsed.CommandResult.Command);
        if (FindMistake(args, parsed) is { } mistake)
        {
            return Verb.Fail(verb, $"{mistake}; 'paravane {(verb.Length == 0 ? string.Empty : verb + " ")}--help' lists what is right", ExitCode.Usage);
        }

        try
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Verb.Fail(verb, "standard output cannot be written", ExitCode.Failed);
        }
    }

    private static string? FindMistake(string[] args, ParseResult parsed)
    {
        if (args.FirstOrDefault(argument => argument.Contains('\uFFFD', StringComparison.Ordinal)) is { } unreadable)
        {
            return $"'{unreadable}' is not UTF-8, or holds the character that stands for what is not";
        }

        // The parser takes --kernel --memory=1G for a kernel of that name.
        OptionResult[] given = [.. parsed.CommandResult.Children.OfType<OptionResult>().Where(option => !option.Implicit)];
        for (int i = 0; i + 1 < args.Length; i++)
        {
            if (args[i + 1].StartsWith("--", StringComparison.Ordinal) && given.Any(option => option.Option.Name == args[i] && option.Option.Arity.MinimumNumberOfValues > 0))
            {
                return $"{args[i]}: the value is missing; one that begins with dashes is given by {args[i]}=--…";
            }
        }

        return given.FirstOrDefault(option => option.IdentifierTokenCount > 1 && option.Option.Arity.MaximumNumberOfValues <= 1) is { } twice ? $"{twice.Option.Name} is given twice"
            : parsed.Errors.Count == 0 ? null
            : parsed.UnmatchedTokens.Count > 0 ? $"'{parsed.UnmatchedTokens[0]}' is not known here"
            : parsed.Errors[0].Message.TrimEnd('.');
    }

    private static string VerbOf(Command command) => command is RootCommand
        ? string.Empty
        : $"{VerbOf(command.Parents.OfType<Command>().First())} {command.Name}".TrimStart();
}
