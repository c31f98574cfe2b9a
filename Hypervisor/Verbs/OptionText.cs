using System.CommandLine.Parsing;
using System.Globalization;
using System.Text;
using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Verbs;

/// <summary>Parsers of option values: sizes, durations, processor lists, numbers in a range. A bad value is an error that says what would be right.</summary>
internal static class OptionText
{
    /// <summary>A size in bytes with K, M, G or T (powers of 1024), or 0: <c>4K</c>.</summary>
    public static ByteCount ParseSize(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        ulong bytes = 0;
        if (text == "0" || ByteSize.TryParse(text, out bytes))
        {
            return new ByteCount(bytes);
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
        if (!CpuList.TryParse(text, out int[] cpus))
        {
            argument.AddError($"{NameOf(argument)}: '{text}' is not a list of processors such as 1, 2,3 or 4-7");
        }

        return cpus;
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

    /// <summary>Refuses a path that no socket can have.</summary>
    /// <exception cref="UsageException">It is empty or too long for a socket address.</exception>
    public static string SocketPath(string name, string path)
    {
        int bytes = Encoding.UTF8.GetByteCount(path);
        return bytes is > 0 and <= UnixSocket.MaxPathBytes ? path : throw new UsageException($"{name}={path}: a socket path has 1 to {UnixSocket.MaxPathBytes} bytes, not {bytes}");
    }

    private static string NameOf(ArgumentResult argument) => (argument.Parent as OptionResult)?.Option.Name ?? argument.Argument.Name;
}
