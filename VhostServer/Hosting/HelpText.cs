using System.Collections;
using System.CommandLine;
using System.Text;

namespace Paravane.VhostServer.Hosting;

/// <summary>The text of <c>--help</c>: each option with its description, which ends in an example, and its default.</summary>
internal static class HelpText
{
    private const int Width = 100;
    private const string Indent = "        ";

    public static string For(string name, string description, IReadOnlyList<Option> options)
    {
        var text = new StringBuilder();
        text.Append(name).Append(": ").AppendLine(description).AppendLine();
        text.Append("Usage: ").Append(name).AppendLine(" --socket-path=PATH | --fd=N  [OPTION]...").AppendLine();
        text.AppendLine("Each option may also stand in the environment (--socket-path is PARAVANE_SOCKET_PATH) or in the file of --config.");
        text.AppendLine("One without a value is a switch: --client, or --client=on|off (true|false and 1|0 as well).");
        foreach (Option option in options)
        {
            text.AppendLine().Append("  ").Append(option.Name);
            if (option.HelpName is { } value)
            {
                text.Append('=').Append(value);
            }

            text.AppendLine();
            AppendWrapped(text, option.Description ?? string.Empty);
            text.Append(Indent).Append("Default: ").AppendLine(DefaultOf(option));
        }

        return text.ToString();
    }

    private static string DefaultOf(Option option)
    {
        object? value = option.HasDefaultValue ? option.GetDefaultValue() : null;
        return value switch
        {
            null => option.ValueType == typeof(bool) ? "off" : "none",
            bool flag => flag ? "on" : "off",
            string { Length: 0 } => "none",
            string text => text,
            Enum item => item.ToString().ToLowerInvariant(),
            IEnumerable items => string.Join(',', items.Cast<object>()) is { Length: > 0 } list ? list : "none",
            _ => value.ToString() ?? "none",
        };
    }

    private static void AppendWrapped(StringBuilder text, string description)
    {
        int column = 0;
        foreach (string word in description.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (column == 0 || column + 1 + word.Length > Width)
            {
                if (column != 0)
                {
                    text.AppendLine();
                }

                text.Append(Indent).Append(word);
                column = Indent.Length + word.Length;
            }
            else
            {
                text.Append(' ').Append(word);
                column += 1 + word.Length;
            }
        }

        if (column != 0)
        {
            text.AppendLine();
        }
    }
}
