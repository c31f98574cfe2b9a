using System.Globalization;

namespace Paravane.Backends.Net;

/// <summary>An Ethernet address.</summary>
internal static class MacAddress
{
    /// <summary>Length in bytes.</summary>
    public const int Bytes = 6;

    /// <summary>Reads <c>52:54:00:12:34:56</c> (or with dashes).</summary>
    /// <returns>False for anything else, for group addresses and for the address of zeroes.</returns>
    public static bool TryParse(string text, out byte[] address)
    {
        string[] parts = text.Split(text.Contains('-') ? '-' : ':');
        address = new byte[Bytes];
        bool parsed = parts.Length == Bytes;
        for (int i = 0; parsed && i < Bytes; i++)
        {
            parsed = parts[i].Length is 1 or 2 && byte.TryParse(parts[i], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out address[i]);
        }

        return parsed && IsOfOne(address);
    }

    /// <summary>True when an interface may have <paramref name="address"/>: it is neither a group's nor the one of zeroes.</summary>
    public static bool IsOfOne(ReadOnlySpan<byte> address) => (address[0] & 1) == 0 && address.ContainsAnyExcept((byte)0);
}
