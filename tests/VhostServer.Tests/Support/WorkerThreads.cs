using System.Globalization;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>What the workers of this process have used of the CPU; the compiler and the collector beside them do not count.</summary>
internal static class WorkerThreads
{
    public static TimeSpan CpuTime()
    {
        long nanoseconds = 0;
        foreach (string task in Directory.EnumerateDirectories("/proc/self/task"))
        {
            try
            {
                if (File.ReadAllText($"{task}/comm").Contains("-w", StringComparison.Ordinal))
                {
                    nanoseconds += long.Parse(File.ReadAllText($"{task}/schedstat").Split(' ')[0], CultureInfo.InvariantCulture);
                }
            }
            catch (IOException)
            {
                // It ended between the two looks, so it used nothing since.
            }
        }

        return TimeSpan.FromMicroseconds(nanoseconds / 1000.0);
    }
}
