namespace Paravane.VhostServer.Hosting;

/// <summary>The words that may follow a switch, the same in all programs.</summary>
/// <remarks>Any thread.</remarks>
public static class SwitchValue
{
    /// <summary>What a wrong one is told.</summary>
    public const string Rule = "give it alone, or on or off (true or false, 1 or 0)";

    /// <summary>Reads a word.</summary>
    /// <returns>Null when it is none of them.</returns>
    public static bool? Read(string text) => text.ToLowerInvariant() switch
    {
        "on" or "true" or "1" => true,
        "off" or "false" or "0" => false,
        _ => null,
    };
}
