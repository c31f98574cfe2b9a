using System.Globalization;
using System.Numerics;
using System.Text;
using Paravane.Hypervisor.Verbs;

namespace Paravane.Hypervisor.Workers;

/// <summary>The value of an option like <c>--disk=path=FILE,readonly=on</c>. A comma inside a value is written twice.</summary>
/// <remarks>Each key is taken once by who knows it; <see cref="Finish"/> refuses what nobody took.</remarks>
internal sealed class KeyValueList
{
    private readonly string _option;
    private readonly Dictionary<string, string> _values = [];
    private readonly List<string> _known = [];

    /// <summary>Takes the text apart.</summary>
    /// <param name="option">Name of the option, <c>--disk</c>, for messages.</param>
    /// <param name="text">Its value.</param>
    /// <param name="startsWithWord">The first part is no key with a value but a word: <see cref="Word"/>.</param>
    /// <exception cref="UsageException">A part has no value, or a key comes twice.</exception>
    public KeyValueList(string option, string text, bool startsWithWord = false)
    {
        _option = option;
        if (text.Contains('\0', StringComparison.Ordinal))
        {
            throw Wrong("a zero character has no place in it");
        }

        List<string> parts = Split(text);
        if (startsWithWord)
        {
            Word = parts[0];
            parts.RemoveAt(0);
        }

        foreach (string part in parts)
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw Wrong(part.Length == 0 ? "a part is empty: parts are KEY=VALUE with one comma between them" : $"'{part}' is not KEY=VALUE");
            }

            if (!_values.TryAdd(part[..equals], part[(equals + 1)..]))
            {
                throw Wrong($"{part[..equals]} is given twice");
            }
        }
    }

    /// <summary>The leading word, or empty.</summary>
    public string Word { get; } = string.Empty;

    /// <summary>The value of <paramref name="key"/>, or null when it is not given.</summary>
    /// <exception cref="UsageException">The value is empty.</exception>
    public string? Take(string key)
    {
        _known.Add(key);
        return !_values.Remove(key, out string? value) ? null : value.Length > 0 ? value : throw Wrong($"{key} has no value");
    }

    /// <summary>An <c>on</c> or <c>off</c>; off when it is not given.</summary>
    /// <exception cref="UsageException">It is something else.</exception>
    public bool TakeSwitch(string key) => Take(key) switch
    {
        null or "off" => false,
        "on" => true,
        var other => throw Wrong($"{key}={other} is neither on nor off"),
    };

    /// <summary>A whole number in a range, or null.</summary>
    /// <exception cref="UsageException">It is something else.</exception>
    public int? TakeNumber(string key, int lowest, int highest) => Take(key) is not { } text ? null
        : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= lowest && number <= highest ? number
        : throw Wrong($"{key}={text} is not a number from {lowest} to {highest}");

    /// <summary>A queue size: a power of two in a range.</summary>
    /// <exception cref="UsageException">It is something else.</exception>
    public ushort TakeQueueSize(ushort whenAbsent, int lowest)
    {
        const int Highest = 32768;
        const string Key = "queue-size";
        int size = TakeNumber(Key, lowest, Highest) ?? whenAbsent;
        return BitOperations.IsPow2(size) ? (ushort)size : throw Wrong($"{Key}={size} is not a power of two");
    }

    /// <summary>Refuses keys that nobody has taken.</summary>
    /// <exception cref="UsageException">There is one.</exception>
    public void Finish()
    {
        foreach (string key in _values.Keys)
        {
            throw Wrong($"{key} is not known here; there are {string.Join(", ", _known)}");
        }
    }

    /// <summary>An error about this option.</summary>
    public UsageException Wrong(string what) => new($"{_option}: {what}");

    private static List<string> Split(string text)
    {
        var parts = new List<string>();
        var part = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != ',')
            {
                part.Append(text[i]);
            }
            else if (i + 1 < text.Length && text[i + 1] == ',')
            {
                part.Append(',');
                i++;
            }
            else
            {
                parts.Add(part.ToString());
                part.Clear();
            }
        }

        parts.Add(part.ToString());
        return parts;
    }
}
