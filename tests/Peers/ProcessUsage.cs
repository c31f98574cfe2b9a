using System.Globalization;

namespace Paravane.Peers;

/// <summary>What a process has used of the machine, from <c>/proc</c>.</summary>
public static class ProcessUsage
{
    private const double TicksPerSecond = 100;      // USER_HZ, part of the kernel's interface on x86-64

    /// <summary>CPU time of all threads of a process, user and system together.</summary>
    public static TimeSpan CpuTime(int processId)
    {
        string line = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{processId}/stat"));
        string[] fields = line[(line.LastIndexOf(')') + 2)..].Split(' ');      // the name may hold spaces and brackets; field 3 comes after it
        long ticks = long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture);
        return TimeSpan.FromSeconds(ticks / TicksPerSecond);
    }

    /// <summary>Memory that belongs to a process alone, clean and dirty, in KiB.</summary>
    public static long PrivateKibibytes(int processId)
    {
        long sum = 0;
        foreach (string line in File.ReadLines(string.Create(CultureInfo.InvariantCulture, $"/proc/{processId}/smaps_rollup")))
        {
            if (line.StartsWith("Private_Clean:", StringComparison.Ordinal) || line.StartsWith("Private_Dirty:", StringComparison.Ordinal))
                sum += long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
        }

        return sum;
    }
}
