using System.Text.Json;

namespace Paravane.Peers;

/// <summary>What <c>paravane bench --json</c> reports. Keys and units are those of its output.</summary>
public sealed record BenchResult(double Rate, double Gbps, double P50Us, double P99Us, double P999Us, long Lost, long Errors, long Verified)
{
    internal static BenchResult Parse(string json)
    {
        using var document = JsonDocument.Parse(json);
        JsonElement root = document.RootElement;
        double Number(string key) => root.GetProperty(key).GetDouble();
        long Count(string key) => root.GetProperty(key).GetInt64();
        return new(
            root.TryGetProperty("iops", out JsonElement iops) ? iops.GetDouble() : Number("mpps"),
            Number("gbps"), Number("p50_us"), Number("p99_us"), Number("p999_us"),
            Count("lost"), Count("errors"), Count("verified"));
    }
}
