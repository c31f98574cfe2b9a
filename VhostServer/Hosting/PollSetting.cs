using System.Globalization;

namespace Paravane.VhostServer.Hosting;

/// <summary>How long an idle worker looks at its rings before it sleeps: <c>off</c>, a bound in microseconds, or <c>always</c>.</summary>
/// <param name="CapMicroseconds">Bound of the adaptive budget; 0 sleeps at once, <see cref="int.MaxValue"/> never sleeps while a ring runs.</param>
public readonly record struct PollSetting(int CapMicroseconds)
{
    private const int LargestCapMicroseconds = 1_000_000;

    /// <summary>Sleeps as soon as the rings are empty.</summary>
    public static PollSetting Off => new(0);

    /// <summary>Polls up to 200 µs, less while that does not pay.</summary>
    public static PollSetting Default => new(200);

    /// <summary>Polls for ever while a ring runs.</summary>
    public static PollSetting Always => new(int.MaxValue);

    /// <summary>True when a worker with a running ring never sleeps.</summary>
    public bool IsAlways => CapMicroseconds == int.MaxValue;

    /// <summary>Reads <c>off</c>, <c>always</c> or a number of microseconds.</summary>
    public static bool TryParse(string text, out PollSetting setting)
    {
        setting = text switch
        {
            "off" => Off,
            "always" => Always,
            _ => new PollSetting(int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : -1),
        };
        return setting.IsAlways || setting.CapMicroseconds is >= 0 and <= LargestCapMicroseconds;
    }

    /// <inheritdoc/>
    public override string ToString() => this == Off ? "off" : IsAlways ? "always" : CapMicroseconds.ToString(CultureInfo.InvariantCulture);
}
