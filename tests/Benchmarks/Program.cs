using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Paravane.Benchmarks;
using Paravane.Peers;

Option<int> rounds = new("--rounds") { Description = "Measurements of each side in a row", DefaultValueFactory = _ => 5 };
Option<double> seconds = new("--seconds") { Description = "Length of one measurement", DefaultValueFactory = _ => 4 };
Option<bool> quick = new("--quick") { Description = "One short round of the first row of each table: does all of it work?" };
Option<string> only = new("--only") { Description = "Only the tables whose name contains this, such as net or null", DefaultValueFactory = _ => string.Empty };
Option<string> output = new("--output") { Description = "Directory of benchmarks.md [default: docs]" };
Option<string> render = new("--render") { Description = "Measure nothing; write the pages again from the figures in this file" };
var command = new RootCommand("Measures Paravane's back-ends beside their peers and writes benchmarks.md with charts.") { rounds, seconds, quick, only, output, render };

command.SetAction(parsed =>
{
    bool isQuick = parsed.GetValue(quick);
    var settings = new Settings
    {
        Rounds = isQuick ? 1 : parsed.GetValue(rounds),
        Seconds = isQuick ? 0.3 : parsed.GetValue(seconds),
        IdleSeconds = isQuick ? 1 : 10,
        Quick = isQuick,
        Only = parsed.GetValue(only)!,
    };
    string directory = parsed.GetValue(output) ?? Path.Combine(Programs.RepositoryRoot, "docs");
    try
    {
        Measured measured;
        if (parsed.GetValue(render) is string figures)
        {
            measured = JsonSerializer.Deserialize<Measured>(File.ReadAllText(figures))!;
        }
        else
        {
            measured = Measure(settings);
            string kept = isQuick ? Path.Combine(directory, "benchmarks.json") : Path.Combine(Programs.RepositoryRoot, "artifacts", "benchmarks.json");
            Directory.CreateDirectory(Path.GetDirectoryName(kept)!);
            File.WriteAllText(kept, JsonSerializer.Serialize(measured));
        }

        MarkdownReport.Write(directory, measured);
        Console.WriteLine($"written: {Path.Combine(directory, "benchmarks.md")}");
        return 0;
    }
    catch (PeerException failure)
    {
        Console.Error.WriteLine(failure.Message);
        return 1;
    }
});
return command.Parse(args).Invoke();

static Measured Measure(Settings settings)
{
    var net = new NetTables(settings);
    var block = new BlockTables(settings);
    var footprint = new FootprintTables(settings);
    using var nested = new NestedTables(settings);
    TablePlan[] plans =
    [
        net.ThroughTestpmd(), net.ThroughBench(), block.NullThroughput(), block.NullLatency(), block.FileThroughput(),
        footprint.Idle(), new AllocationTable(settings).Plan(), FootprintTables.Start(), footprint.Memory(), FootprintTables.Size(),
        MachineTables.Start(), MachineTables.Restart(), nested.Exits(), nested.Memory(), nested.Boot(),
    ];
    var runner = new Runner(settings, Console.Out);
    var start = DateTime.UtcNow;
    MeasuredTable[] tables = [.. plans.Where(plan => plan.Table.Id.Contains(settings.Only, StringComparison.Ordinal)).Select(runner.Run)];
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"measured for {(DateTime.UtcNow - start).TotalMinutes:0.0} minutes"));
    return new Measured(Machine.Describe(), settings.Rounds, settings.Seconds, tables);
}
