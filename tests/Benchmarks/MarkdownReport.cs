using System.Globalization;
using System.Text;

namespace Paravane.Benchmarks;

/// <summary>Writes <c>benchmarks.md</c> and one chart for each table beside it.</summary>
internal static class MarkdownReport
{
    /// <summary>Writes everything into a directory.</summary>
    public static void Write(string directory, Measured measured)
    {
        Directory.CreateDirectory(Path.Combine(directory, "benchmarks"));
        foreach (MeasuredTable table in measured.Tables.Where(table => table.Missing is null))
            File.WriteAllText(Path.Combine(directory, "benchmarks", table.Table.Id + ".svg"), BarChart.Draw(table));
        File.WriteAllText(Path.Combine(directory, "benchmarks.md"), Text(measured));
    }

    private static string Text(Measured measured)
    {
        Machine machine = measured.Machine;
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            # Benchmarks

            Written by `make bench`, which anyone can repeat. Nothing here is an absolute figure of the software: it was measured on a small virtual
            machine whose neighbours come and go. What counts is the ratio to the peer, measured in the same run.

            | | |
            |---|---|
            | Date | {machine.Date}, revision {machine.Revision} |
            | Machine | {machine.Processor}, {machine.Processors} CPUs, Linux {machine.Kernel} |
            | Peers | dpdk-testpmd {machine.TestpmdVersion}, qemu-storage-daemon {machine.StorageDaemonVersion} (Debian packages) |
            | Runs | {measured.Rounds} rounds of {measured.Seconds:0.#} s for each side, ours and the peer's by turns; each with fresh processes, after a warm-up |
            | Placement | back-end on CPU 0 with all its threads, front-end on CPU 1 |
            | Figures | median (smallest – largest); the ratio is of the medians |


            """);
        foreach (MeasuredTable table in measured.Tables)
            Append(text, table);
        return text.ToString();
    }

    private static void Append(StringBuilder text, MeasuredTable measured)
    {
        Table table = measured.Table;
        if (measured.Missing is not null)
        {
            text.Append(CultureInfo.InvariantCulture, $"## {table.Title}\n\n{table.Method}\n\nNot measured: {measured.Missing}.\n\n");
            return;
        }

        text.Append(CultureInfo.InvariantCulture, $"## {table.Title}\n\n{table.Method}\n\n![{table.Title}](benchmarks/{table.Id}.svg)\n\n");
        bool compares = measured.Rows.Any(row => row.Peer is not null);
        text.Append(compares
            ? string.Create(CultureInfo.InvariantCulture, $"| | paravane, {table.Unit} | peer, {table.Unit} | ratio | must | |\n|---|---|---|---|---|---|\n")
            : string.Create(CultureInfo.InvariantCulture, $"| | paravane, {table.Unit} | must | |\n|---|---|---|---|\n"));
        foreach (MeasuredRow row in measured.Rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {row.Label} | {Range(row.Ours)} |");
            if (compares)
                text.Append(row.Peer is null ? " – | – |" : string.Create(CultureInfo.InvariantCulture, $" {Range(row.Peer)} ({row.Peer.Name}) | {row.Compared:0.00} × |"));
            text.Append(row.Must is null
                ? " – | |\n"
                : $" {row.Must.Describe(row.Peer is not null, table.Unit)} | {(row.Must.IsMet(row.Compared) ? "met" : "**not met**")} |\n");
        }

        text.Append("\n<details><summary>Commands</summary>\n\n");
        foreach (MeasuredRow row in measured.Rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"{row.Label}:\n\n```sh\n{row.Ours.Backend}\n");
            if (row.Peer is not null)
                text.Append(CultureInfo.InvariantCulture, $"{row.Peer.Backend}\n");
            if (row.Ours.Frontend.Length > 0)
                text.Append(CultureInfo.InvariantCulture, $"{row.Ours.Frontend}\n");
            text.Append("```\n\n");
        }

        text.Append("</details>\n\n");
    }

    private static string Range(Series series) => string.Create(CultureInfo.InvariantCulture,
        $"{Figure(series.Median)} ({Figure(series.Min)} – {Figure(series.Max)})");

    /// <summary>Three significant digits, which is more than such a machine repeats.</summary>
    internal static string Figure(double value) => value switch
    {
        >= 100 => value.ToString("0", CultureInfo.InvariantCulture),
        >= 10 => value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.ToString("0.00", CultureInfo.InvariantCulture),
    };
}
