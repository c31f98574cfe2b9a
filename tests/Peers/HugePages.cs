using System.Globalization;

namespace Paravane.Peers;

/// <summary>The machine's huge pages of 2 MiB.</summary>
public static class HugePages
{
    /// <summary>How much memory can be had from huge pages now.</summary>
    public static int FreeMebibytes
    {
        get
        {
            const string Counter = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
            return File.Exists(Counter) ? 2 * int.Parse(File.ReadAllText(Counter), CultureInfo.InvariantCulture) : 0;
        }
    }
}
