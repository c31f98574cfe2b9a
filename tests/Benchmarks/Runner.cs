using System.Globalization;
using Paravane.Peers;

namespace Paravane.Benchmarks;

/// <summary>Fills tables: ours and the peer by turns, round after round, so that a slow minute of the machine meets both.</summary>
internal sealed class Runner(Settings settings, TextWriter log)
{
    /// <summary>Measures all rows of a table.</summary>
    public MeasuredTable Run(TablePlan plan)
    {
        log.WriteLine($"{plan.Table.Title} ({plan.Table.Unit})");
        if (plan.Missing is not null)
        {
            log.WriteLine($"  not measured: {plan.Missing}");
            return new MeasuredTable(plan.Table, [], plan.Missing);
        }

        List<MeasuredRow> rows = [];
        foreach (Row row in plan.Rows.Take(settings.Quick ? 1 : int.MaxValue))
            rows.Add(Run(row, plan.Table));
        return new MeasuredTable(plan.Table, rows);
    }

    private MeasuredRow Run(Row row, Table table)
    {
        Peer? peer = BestOf(row.Peers, table.MoreIsBetter);
        List<Sample> ours = [], theirs = [];
        for (int round = 0; round < settings.Rounds; round++)
        {
            ours.Add(row.Ours());
            if (peer is not null)
                theirs.Add(peer.Measure());
        }

        var measured = new MeasuredRow(row.Label, row.Must, ToSeries("paravane", ours), peer is null ? null : ToSeries(peer.Name, theirs));
        log.WriteLine(Describe(measured));
        return measured;
    }

    /// <summary>Gives the peer one try for each way to run it, and keeps the best.</summary>
    private static Peer? BestOf(IReadOnlyList<Peer> peers, bool moreIsBetter)
    {
        if (peers.Count <= 1)
            return peers.Count == 0 ? null : peers[0];
        Peer? best = null;
        double bestValue = 0;
        string last = string.Empty;
        foreach (Peer peer in peers)
        {
            double value;
            try
            {
                value = peer.Measure().Value;
            }
            catch (PeerException refusal)
            {
                last = refusal.Message;
                continue;       // this machine's kernel refuses it: direct I/O on tmpfs, or io_uring
            }

            if (best is null || (moreIsBetter ? value > bestValue : value < bestValue))
                (best, bestValue) = (peer, value);
        }

        return best ?? throw new PeerException($"the peer runs in none of {peers.Count} ways: {last}");
    }

    private static Series ToSeries(string name, List<Sample> samples) =>
        new(name, [.. samples.Select(sample => sample.Value)], samples[0].Backend, samples[0].Frontend);

    private static string Describe(MeasuredRow row)
    {
        string line = string.Create(CultureInfo.InvariantCulture, $"  {row.Label}: {row.Ours.Median:0.###}");
        return row.Peer is null
            ? line
            : line + string.Create(CultureInfo.InvariantCulture, $" against {row.Peer.Median:0.###} of {row.Peer.Name} = {row.Compared:0.00} ×");
    }
}
