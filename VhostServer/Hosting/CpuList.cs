using System.Globalization;

namespace Paravane.VhostServer.Hosting;

/// <summary>CPU numbers as <c>taskset</c> takes them: <c>2,4-6</c>.</summary>
public static class CpuList
{
    /// <summary>Highest CPU number that an affinity mask of the C library can hold.</summary>
    public const int MaxCpu = 1023;

    /// <summary>Reads a list; order and repetitions are kept, since worker i gets entry i.</summary>
    public static bool TryParse(string text, out int[] cpus)
    {
        var list = new List<int>();
        cpus = [];
        foreach (string part in text.Split(','))
        {
            string[] ends = part.Split('-', 2);
            if (!TryParseCpu(ends[0], out int first) || !TryParseCpu(ends[^1], out int last) || last < first)
            {
                return false;
            }

            list.AddRange(Enumerable.Range(first, last - first + 1));
        }

        cpus = [.. list];
        return true;
    }

    private static bool TryParseCpu(string text, out int cpu) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out cpu) && cpu <= MaxCpu;
}
