using System.Globalization;
using System.Text.RegularExpressions;

namespace Paravane.Peers;

/// <summary>Answer of testpmd's <c>show port stats</c>.</summary>
public sealed partial record PortStatistics(long ReceivedPackets, long SentPackets, long ReceiveErrors, long Missed, long NoBuffer, long SendErrors, long ReceivedPerSecond)
{
    internal static PortStatistics Parse(string text)
    {
        Dictionary<string, long> values = [];
        foreach (Match match in Value().Matches(text))
            values[match.Groups[1].Value] = long.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture);
        return new(values["RX-packets"], values["TX-packets"], values["RX-errors"], values["RX-missed"], values["RX-nombuf"], values["TX-errors"], values["Rx-pps"]);
    }

    [GeneratedRegex(@"([RT][Xx]-[a-z]+):\s+(\d+)")]
    private static partial Regex Value();
}
