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

    public OptionParser(IReadOnlyList<Option> options, Option<string?> configFile)
    {
        _options = options;
        _configFile = configFile;
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
        ParseResult given = _command.Parse(args, s_configuration);
        ThrowOnErrors(given);
        string[] added = [.. FromConfiguration(given)];
        if (added.Length == 0)
        {
            return given;
        }

        ParseResult complete = _command.Parse([.. args, .. added], s_configuration);
        ThrowOnErrors(complete);
        return complete;
    }

    private static string KeyOf(Option option) => option.Name.TrimStart('-');

    private static string EnvironmentKeyOf(Option option) => KeyOf(option).Replace('-', '_').ToUpperInvariant();

    private IEnumerable<string> FromConfiguration(ParseResult given)
    {
        // Read by hand first, since it decides which file the configuration is made of.
        string? path = given.GetValue(_configFile) ?? Environment.GetEnvironmentVariable(EnvironmentPrefix + EnvironmentKeyOf(_configFile));
        IConfiguration file = path is null ? new ConfigurationBuilder().Build() : ReadFile(path);
        IConfiguration environment = new ConfigurationBuilder().AddEnvironmentVariables(EnvironmentPrefix).Build();
        foreach (Option option in _options)
        {
            if (option == _configFile || given.GetResult(option) is { Implicit: false })
            {
                continue;
            }

            if (environment[EnvironmentKeyOf(option)] is { } value)
            {
                yield return $"{option.Name}={value}";
                continue;
            }

            IConfigurationSection section = file.GetSection(KeyOf(option));
            string[] values = section.Value is { } single ? [single] : [.. section.GetChildren().Select(child => child.Value ?? string.Empty)];
            foreach (string item in values)
            {
                yield return $"{option.Name}={item}";
            }
        }
    }

    private IConfiguration ReadFile(string path)
    {
        IConfiguration file;
        try
        {
            file = new ConfigurationBuilder().AddJsonFile(Path.GetFullPath(path), optional: false, reloadOnChange: false).Build();
        }
        catch (Exception failure) when (failure is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            throw new UsageException($"--config={path}: {failure.InnerException?.Message ?? failure.Message}");
        }

        foreach (IConfigurationSection section in file.GetChildren())
        {
            if (!_options.Any(option => option != _configFile && string.Equals(KeyOf(option), section.Key, StringComparison.OrdinalIgnoreCase)))
            {
                throw new UsageException($"--config={path}: '{section.Key}' is not an option; --help lists them");
            }
        }

        return file;
    }

    private void ThrowOnErrors(ParseResult result)
    {
        if (result.UnmatchedTokens is [{ } unknown, ..])
        {
            string name = unknown.Split('=', 2)[0];
            Option? near = _options.MinBy(option => Distance(option.Name, name));
            string hint = near is not null && Distance(near.Name, name) <= 3 ? $"did you mean {near.Name}? " : string.Empty;
            throw new UsageException($"{name} is not an option; {hint}--help lists them");
        }

        if (result.Errors is [{ } error, ..])
        {
            throw new UsageException(Describe(error).ReplaceLineEndings(" "));
        }
    }

    private static string Describe(ParseError error)
    {
        for (SymbolResult? symbol = error.SymbolResult; symbol is not null; symbol = symbol.Parent)
        {
            if (symbol is OptionResult { Option: { } option } result && !error.Message.StartsWith(option.Name, StringComparison.Ordinal))
            {
                string value = result.Tokens is [.., { } last] ? $"={last.Value}" : string.Empty;
                string wanted = option.ValueType == typeof(int) || option.ValueType == typeof(int?) || option.ValueType == typeof(long)
                    ? "give a whole number"
                    : option.ValueType == typeof(bool) ? "give it alone, or true or false" : "give one value";
                return $"{option.Name}{value}: {wanted}, such as {option.Name}{(option.HelpName is { } name ? "=" + name : string.Empty)}";
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
