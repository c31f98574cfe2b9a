using System.CommandLine;
using System.CommandLine.Parsing;
using Microsoft.Extensions.Configuration;

namespace Paravane.VhostServer.Hosting;

/// <summary>Turns arguments, environment and JSON file into one checked set of options. One parser for all three, so one set of rules.</summary>
internal sealed class OptionParser
{
    private const string EnvironmentPrefix = "PARAVANE_";

    // No response files: an argument that begins with @ is a value like any other.
    private static readonly ParserConfiguration s_configuration = new() { ResponseFileTokenReplacer = null };

    private readonly RootCommand _command = [];
    private readonly IReadOnlyList<Option> _options;
    private readonly Option<string?> _configFile;
    private readonly Option[] _alone;

    /// <summary>Prepares the parser.</summary>
    /// <param name="options">All options.</param>
    /// <param name="configFile">The one of them that names the file.</param>
    /// <param name="questions">Those that make the program say something instead of doing its work; like <paramref name="configFile"/> they are never in a file, nor in the environment.</param>
    public OptionParser(IReadOnlyList<Option> options, Option<string?> configFile, params Option[] questions)
    {
        _options = options;
        _configFile = configFile;
        _alone = [configFile, .. questions];
        _command.Options.Clear();
        _command.Directives.Clear();
        foreach (Option option in options)
        {
            _command.Options.Add(option);
        }
    }

    /// <summary>Parses <paramref name="args"/>, completes what they leave open, and checks all of it.</summary>
    /// <exception cref="UsageException">Names the option and says what would be right.</exception>
    public ParseResult Parse(string[] args)
    {
        List<(Option Option, string Value)> values = [];
        foreach ((Option option, string value) in FromArguments(args))
        {
            Add(values, option, value);
        }

        HashSet<Option> given = [.. values.Select(item => item.Option)];
        foreach ((Option option, string value) in FromConfiguration(values.Find(item => item.Option == _configFile).Value, given))
        {
            Add(values, option, value);
        }

        ParseResult result = _command.Parse([.. values.Select(item => $"{item.Option.Name}={item.Value}")], s_configuration);
        return result.Errors is [{ } error, ..] ? throw new UsageException(Describe(error).ReplaceLineEndings(" ")) : result;
    }

    private static string KeyOf(Option option) => option.Name.TrimStart('-');

    private static string EnvironmentKeyOf(Option option) => KeyOf(option).Replace('-', '_').ToUpperInvariant();

    private static bool IsSwitch(Option option) => option.ValueType == typeof(bool);

    private static string ExampleOf(Option option) => option.HelpName is { } name ? $"{option.Name}={name}" : option.Name;

    private static void Add(List<(Option Option, string Value)> values, Option option, string value)
    {
        if (option.Arity.MaximumNumberOfValues <= 1 && values.Any(item => item.Option == option))
        {
            throw new UsageException($"{option.Name} is given twice: give it once, such as {ExampleOf(option)}");
        }

        values.Add((option, Checked(option, value)));
    }

    private static string Checked(Option option, string value)
    {
        if (IsSwitch(option))
        {
            bool on = SwitchValue.Read(value) ?? throw new UsageException($"{option.Name}={value}: {SwitchValue.Rule}");
            return on ? bool.TrueString : bool.FalseString;
        }

        return value.Length == 0 ? throw new UsageException($"{option.Name}=: the value is empty, give {ExampleOf(option)}")
            : value.Contains('\0', StringComparison.Ordinal) ? throw new UsageException($"{option.Name}: a zero character has no place in a value")
            : value.Contains('\uFFFD', StringComparison.Ordinal) ? throw new UsageException($"{option.Name}={value}: is not UTF-8, or holds the character that stands for what is not")
            : value;
    }

    private IEnumerable<(Option Option, string Value)> FromArguments(string[] args)
    {
        for (int i = 0; i < args.Length; i++)
        {
            string[] parts = args[i].Split('=', 2);
            Option option = _options.FirstOrDefault(option => option.Name == parts[0] || option.Aliases.Contains(parts[0])) ?? throw Unknown(parts[0]);
            if (parts.Length == 2)
            {
                yield return (option, parts[1]);
            }
            else if (IsSwitch(option))
            {
                yield return (option, i + 1 < args.Length && SwitchValue.Read(args[i + 1]) is not null ? args[++i] : bool.TrueString);
            }
            else if (i + 1 < args.Length && !args[i + 1].StartsWith("--", StringComparison.Ordinal))
            {
                yield return (option, args[++i]);
            }
            else
            {
                throw new UsageException($"{option.Name}: the value is missing, give {ExampleOf(option)}");
            }
        }
    }

    private IEnumerable<(Option Option, string Value)> FromConfiguration(string? givenPath, HashSet<Option> given)
    {
        string? path = givenPath ?? Environment.GetEnvironmentVariable(EnvironmentPrefix + EnvironmentKeyOf(_configFile));
        SettingsFile? file = path is null ? null : SettingsFile.Read(Checked(_configFile, path), [.. _options.Except(_alone).Select(KeyOf)]);
        IConfiguration environment = new ConfigurationBuilder().AddEnvironmentVariables(EnvironmentPrefix).Build();
        foreach (Option option in _options)
        {
            if (_alone.Contains(option) || given.Contains(option))
            {
                continue;
            }

            if (environment[EnvironmentKeyOf(option)] is { } value)
            {
                yield return (option, value);
                continue;
            }

            foreach (string item in file?.ValuesOf(KeyOf(option)) ?? [])
            {
                yield return (option, item);
            }
        }
    }

    private UsageException Unknown(string name)
    {
        Option? near = _options.MinBy(option => Distance(option.Name, name));
        string hint = near is not null && Distance(near.Name, name) <= Math.Min(3, (name.Length - 1) / 3) ? $"did you mean {near.Name}? " : string.Empty;
        return new UsageException($"{name} is not an option; {hint}--help lists them");
    }

    private static string Describe(ParseError error)
    {
        for (SymbolResult? symbol = error.SymbolResult; symbol is not null; symbol = symbol.Parent)
        {
            if (symbol is OptionResult { Option: { } option } result && !error.Message.StartsWith(option.Name, StringComparison.Ordinal))
            {
                string value = result.Tokens is [.., { } last] ? $"={last.Value}" : string.Empty;
                string wanted = option.ValueType == typeof(int) || option.ValueType == typeof(int?) || option.ValueType == typeof(long) ? "give a whole number" : "give one value";
                return $"{option.Name}{value}: {wanted}, such as {ExampleOf(option)}";
            }
        }

        return error.Message;
    }

    /// <summary>Edits between two names (Levenshtein).</summary>
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(above, row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[b.Length];
    }
}
