using System.CommandLine.Parsing;
using System.Globalization;

namespace Paravane.Hypervisor.Verbs;

/// <summary>Parsers of option values: sizes, durations, processor lists, numbers in a range. A bad value is an error that says what would be right.</summary>
internal static class OptionText
{
    /// <summary>A size in bytes with K, M, G or T (powers of 1024): <c>4K</c>.</summary>
    public static ByteCount ParseSize(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        int shift = text.Length == 0 ? 0 : char.ToUpperInvariant(text[^1]) switch
        {
            'K' => 10,
            'M' => 20,
            'G' => 30,
            'T' => 40,
            _ => 0,
        };
        string digits = shift == 0 ? text : text[..^1];
        if (ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) && number <= ulong.MaxValue >> shift)
        {
            return new ByteCount(number << shift);
        }

        argument.AddError($"{NameOf(argument)}: '{text}' is not a size such as 4096, 4K or 1G");
        return default;
    }

    /// <summary>A time with ms, s or m: <c>10s</c>, <c>500ms</c>; a bare number is seconds.</summary>
    public static Duration ParseTime(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        (string digits, double seconds) = text switch
        {
            _ when text.EndsWith("ms", StringComparison.Ordinal) => (text[..^2], 0.001),
            _ when text.EndsWith('s') => (text[..^1], 1),
            _ when text.EndsWith('m') => (text[..^1], 60),
            _ => (text, 1.0),
        };
        const double MaxSeconds = 30 * 86400.0;
        if (double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number) && number * seconds <= MaxSeconds)
        {
            return new Duration(TimeSpan.FromSeconds(number * seconds));
        }

        argument.AddError($"{NameOf(argument)}: '{text}' is not a time such as 10s, 500ms or 2m");
        return default;
    }

    /// <summary>Processors: <c>1</c>, <c>2,3</c>, <c>4-7</c>.</summary>
    public static int[] ParseCpus(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        var cpus = new List<int>();
        foreach (string part in text.Split(','))
        {
            string[] ends = part.Split('-');
            if (ends.Length is 1 or 2
                && int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
                && int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int last)
                && first <= last && last < VirtioQueues.Linux.Affinity.MaxCpus)
            {
                cpus.AddRange(Enumerable.Range(first, last - first + 1));
            }
            else
            {
                argument.AddError($"{NameOf(argument)}: '{text}' is not a list of processors such as 1, 2,3 or 4-7");
                return [];
            }
        }

        return [.. cpus];
    }

    /// <summary>A parser of whole numbers in a range.</summary>
    public static Func<ArgumentResult, int> NumberIn(int lowest, int highest) => argument =>
    {
        string text = argument.Tokens[0].Value;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= lowest && number <= highest)
        {
            return number;
        }

        argument.AddError($"{NameOf(argument)}: '{text}' is not a number from {lowest} to {highest}");
        return lowest;
    };

    /// <summary>A parser of one of <paramref name="words"/>.</summary>
    public static Func<ArgumentResult, string> OneOf(params string[] words) => argument =>
    {
        string text = argument.Tokens[0].Value;
        if (Array.IndexOf(words, text) < 0)
        {
            argument.AddError($"{NameOf(argument)}: '{text}' is none of {string.Join(", ", words)}");
        }

        return text;
    };

    private static string NameOf(ArgumentResult argument) => (argument.Parent as OptionResult)?.Option.Name ?? argument.Argument.Name;
}
