using System.Diagnostics;
using System.Globalization;

namespace Paravane.Hypervisor.Launch;

/// <summary>What this process can find out about itself.</summary>
internal static class OwnProcess
{
    private static readonly long s_firstLook = Stopwatch.GetTimestamp();
    private static readonly TimeSpan s_beforeFirstLook = MainThreadTime();

    /// <summary>Remembers how long the process has lived. To be called by the main thread as early as possible.</summary>
    public static void Look() => _ = s_beforeFirstLook;

    /// <summary>
    /// Time since the process was started: what the main thread had run or waited for a processor until <see cref="Look"/>, and the clock since then.
    /// (The kernel's own start time counts in steps of 10 ms.)
    /// </summary>
    public static TimeSpan TimeSinceStart() => s_beforeFirstLook + Stopwatch.GetElapsedTime(s_firstLook);

    /// <summary>Memory that nobody shares with this process, without mappings whose name contains <paramref name="name"/>.</summary>
    public static long PrivateBytesWithout(string name)
    {
        long kibibytes = 0;
        bool counts = true;
        foreach (string line in File.ReadLines("/proc/self/smaps"))
        {
            if (line.Length > 0 && !char.IsAsciiLetterUpper(line[0]))
            {
                counts = !line.Contains(name, StringComparison.Ordinal);
            }
            else if (counts && (line.StartsWith("Private_Clean:", StringComparison.Ordinal) || line.StartsWith("Private_Dirty:", StringComparison.Ordinal)))
            {
                kibibytes += long.Parse(line.AsSpan(14).Trim(" kB"), CultureInfo.InvariantCulture);
            }
        }

        return kibibytes << 10;
    }

    private static TimeSpan MainThreadTime()
    {
        try
        {
            string[] fields = File.ReadAllText("/proc/self/schedstat").Split(' '); // of the main thread, in nanoseconds: ran, waited for a processor, …
            return TimeSpan.FromMicroseconds((long.Parse(fields[0], CultureInfo.InvariantCulture) + long.Parse(fields[1], CultureInfo.InvariantCulture)) / 1000.0);
        }
        catch (IOException)
        {
            return TimeSpan.Zero; // a kernel without these statistics: then it is the time since the first look
        }
    }
}
