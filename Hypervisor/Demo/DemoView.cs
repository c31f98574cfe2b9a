using System.Globalization;

namespace Paravane.Hypervisor.Demo;

/// <summary>Shows readings: a table that is redrawn in place on a terminal, one line a second elsewhere.</summary>
internal sealed class DemoView(bool terminal, int seconds, string driver)
{
    private const string TableHead = "  process         rate                 Gbit/s         p50         p99       CPU";
    private const int TableColumns = 82;
    private int _linesDrawn;

    /// <summary>Standard output is a terminal that can move its cursor and on which no line of the table wraps.</summary>
    public static bool FitsTerminal => !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb") && Console.WindowWidth >= TableColumns;

    /// <summary>Shows the readings of second <paramref name="second"/>.</summary>
    public void Show(int second, DemoReading disk, DemoReading net, double ownCpuPercent)
    {
        if (terminal)
        {
            Draw(
                $"  second {second} of {seconds}",
                TableHead,
                Row("paravane-blk", Rate(disk.Rate, "IOPS"), disk),
                Row("paravane-net", Rate(net.Rate, "Mpps"), net),
                string.Create(CultureInfo.InvariantCulture, $"  {"paravane",-14}  {driver,-58}{ownCpuPercent,5:0} %"));
        }
        else
        {
            Console.Out.WriteLine(
                $"{second,3} s  disk {Rate(disk.Rate, "IOPS").Trim()} {Latency(disk)} CPU {Percent(disk.CpuPercent)} | "
                + $"net {Rate(net.Rate, "Mpps").Trim()} {Number(net.GigabitsPerSecond, "0.00")} Gbit/s {Latency(net)} CPU {Percent(net.CpuPercent)} | "
                + $"driver CPU {Percent(ownCpuPercent)}");
        }
    }

    /// <summary>A number the way all numbers are shown.</summary>
    public static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private void Draw(params string[] lines)
    {
        if (_linesDrawn > 0)
        {
            Console.Out.Write($"\e[{_linesDrawn}A"); // cursor up
        }

        foreach (string line in lines)
        {
            Console.Out.WriteLine($"\e[2K{line}"); // erase the line
        }

        _linesDrawn = lines.Length;
    }

    private static string Row(string name, string rate, DemoReading reading) => string.Create(
        CultureInfo.InvariantCulture,
        $"  {name,-14}  {rate,-19}  {reading.GigabitsPerSecond,6:0.00}      {reading.P50Microseconds,7:0.#} µs  {reading.P99Microseconds,7:0.#} µs  {reading.CpuPercent,5:0} %");

    private static string Rate(double perSecond, string unit) => unit == "Mpps" ? $"{Number(perSecond / 1e6, "0.000"),10} Mpps" : $"{Number(perSecond, "#,0"),10} {unit}";

    private static string Latency(DemoReading reading) => $"p50 {Number(reading.P50Microseconds, "0.#")} µs p99 {Number(reading.P99Microseconds, "0.#")} µs";

    private static string Percent(double value) => $"{Number(value, "0")} %";
}
