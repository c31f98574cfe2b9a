using System.Globalization;

namespace Paravane.VhostServer.Hosting;

/// <summary>Sizes as options take them: a number of bytes, or one with K, M, G or T behind it (powers of 1024).</summary>
public static class ByteSize
{
    private const string Units = "KMGT";

    /// <summary>Reads a size of at least one byte and below 2^63.</summary>
    public static bool TryParse(string? text, out ulong bytes)
    {
        bytes = 0;
        if (string.IsNullOrEmpty(text))
        {
            return false;
        }

        int unit = Units.IndexOf(char.ToUpperInvariant(text[^1]), StringComparison.Ordinal) + 1;
        string digits = unit == 0 ? text : text[..^1];
        if (!ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) || number == 0 || number > (ulong)long.MaxValue >> (10 * unit))
        {
            return false;
        }

        bytes = number << (10 * unit);
        return true;
    }

    /// <summary>The shortest text that <see cref="TryParse"/> reads as <paramref name="bytes"/>.</summary>
    public static string Format(ulong bytes)
    {
        int unit = 0;
        while (unit < Units.Length && bytes != 0 && bytes % 1024 == 0)
        {
            bytes /= 1024;
            unit++;
        }

        return unit == 0 ? bytes.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{bytes}{Units[unit - 1]}");
    }
}
