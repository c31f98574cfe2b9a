using System.Globalization;
using System.Text;
using System.Text.Json;
using Paravane.Hypervisor.Bench;

namespace Paravane.Hypervisor.Verbs;

/// <summary>Prints the result of a bench: a table for people, one JSON object for scripts.</summary>
internal static class BenchReport
{
    /// <summary>Writes to standard output and says how the program ends.</summary>
    /// <param name="device">The verb below <c>bench</c>: blk or net.</param>
    /// <param name="request">Decides the form.</param>
    /// <param name="result">What was measured.</param>
    /// <param name="rateName">Unit of the rate for people.</param>
    /// <param name="rateKey">Key of the rate in JSON.</param>
    /// <param name="rateUnit">The rate is divided by this.</param>
    /// <param name="settings">Settings in force, echoed.</param>
    /// <returns>Exit code: 1 when something was lost or wrong.</returns>
    public static int Write(string device, BenchRequest request, LoadResult result, string rateName, string rateKey, double rateUnit, IReadOnlyList<(string Key, object Value)> settings)
    {
        settings = [("device", device), ("socket_path", request.SocketPath), .. settings];
        if (request.Json)
        {
            WriteJson(result, rateKey, rateUnit, settings);
        }
        else
        {
            WriteTable(result, rateName, rateUnit, settings);
        }

        return result.Errors == 0 && result.Lost == 0
            ? ExitCode.Success
            : Verb.Fail($"bench {device}", result.FirstError ?? $"{result.Lost} never came back", ExitCode.Failed);
    }

    private static void WriteJson(LoadResult result, string rateKey, double rateUnit, IReadOnlyList<(string Key, object Value)> settings)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("front_end", "paravane");
            json.WriteString("version", Verb.Version);
            foreach ((string key, object value) in settings)
            {
                switch (value)
                {
                    case bool flag:
                        json.WriteBoolean(key, flag);
                        break;
                    case int number:
                        json.WriteNumber(key, number);
                        break;
                    case long number:
                        json.WriteNumber(key, number);
                        break;
                    default:
                        json.WriteString(key, value.ToString());
                        break;
                }
            }

            json.WriteNumber("seconds", Math.Round(result.Seconds, 6));
            json.WriteNumber("done", result.Done);
            json.WriteNumber(rateKey, Math.Round(result.Rate / rateUnit, 6));
            json.WriteNumber("gbps", Math.Round(result.GigabitsPerSecond, 6));
            foreach ((string key, double quantile) in (ReadOnlySpan<(string, double)>)[("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)])
            {
                if (result.Latency.Count == 0)
                {
                    json.WriteNull(key); // nothing was measured
                }
                else
                {
                    json.WriteNumber(key, Math.Round(result.Latency.Microseconds(quantile), 3));
                }
            }

            json.WriteNumber("lost", result.Lost);
            json.WriteNumber("errors", result.Errors);
            json.WriteNumber("verified", result.Verified);
            if (result.FirstError is string error)
            {
                json.WriteString("first_error", error);
            }

            json.WriteEndObject();
        }

        Console.Out.WriteLine(Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length));
    }

    private static void WriteTable(LoadResult result, string rateName, double rateUnit, IReadOnlyList<(string Key, object Value)> settings)
    {
        static string Text(object value) => value switch
        {
            bool flag => flag ? "on" : "off",
            IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
            _ => value.ToString() ?? string.Empty,
        };
        var rows = new List<(string Name, string Value)>();
        rows.AddRange(settings.Select(setting => (setting.Key.Replace('_', ' '), Text(setting.Value))));
        rows.Add((string.Empty, string.Empty));
        rows.Add((rateName, string.Create(CultureInfo.InvariantCulture, $"{result.Rate / rateUnit:#,0.###}")));
        rows.Add(("Gbit/s", string.Create(CultureInfo.InvariantCulture, $"{result.GigabitsPerSecond:0.###}")));
        rows.Add(("p50", Microseconds(0.5)));
        rows.Add(("p99", Microseconds(0.99)));
        rows.Add(("p99.9", Microseconds(0.999)));
        rows.Add(("lost", result.Lost.ToString(CultureInfo.InvariantCulture)));
        rows.Add(("errors", result.Errors.ToString(CultureInfo.InvariantCulture)));
        rows.Add(("verified", result.Verified.ToString(CultureInfo.InvariantCulture)));
        int width = rows.Max(row => row.Name.Length);
        foreach ((string name, string value) in rows)
        {
            Console.Out.WriteLine(name.Length == 0 ? string.Empty : $"{name.PadRight(width)}  {value}");
        }

        string Microseconds(double quantile) => result.Latency.Count == 0
            ? "–"
            : string.Create(CultureInfo.InvariantCulture, $"{result.Latency.Microseconds(quantile):#,0.##} µs");
    }
}
