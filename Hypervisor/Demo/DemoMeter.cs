using System.Diagnostics;
using Paravane.Hypervisor.Bench;

namespace Paravane.Hypervisor.Demo;

/// <summary>What one device did since the last look.</summary>
internal sealed class DemoMeter(IReadOnlyList<LoadCounters> loads, Func<TimeSpan?> processorTime)
{
    private readonly LatencyHistogram _now = new();
    private readonly LatencyHistogram _before = new();
    private long _doneBefore;
    private long _bytesBefore;
    private long _timeBefore;
    private TimeSpan _processorBefore;

    /// <summary>Takes the reading that the next <see cref="Read"/> starts from.</summary>
    public void Start() => _ = Read();

    /// <summary>Rates and latencies since the last reading.</summary>
    public DemoReading Read()
    {
        long time = Stopwatch.GetTimestamp();
        _now.Clear();
        long done = 0, bytes = 0;
        foreach (LoadCounters load in loads)
        {
            done += Volatile.Read(ref load.Done);
            bytes += Volatile.Read(ref load.Bytes);
            _now.Add(load.Latency);
        }

        TimeSpan processor = processorTime() ?? _processorBefore;
        double seconds = Math.Max(1e-6, Stopwatch.GetElapsedTime(_timeBefore, time).TotalSeconds);
        var recent = new LatencyHistogram();
        recent.Add(_now);
        recent.Subtract(_before);
        var reading = new DemoReading(
            (done - _doneBefore) / seconds,
            (bytes - _bytesBefore) * 8 / seconds / 1e9,
            recent.Microseconds(0.5),
            recent.Microseconds(0.99),
            (processor - _processorBefore).TotalSeconds / seconds * 100);
        _now.CopyTo(_before);
        (_doneBefore, _bytesBefore, _timeBefore, _processorBefore) = (done, bytes, time, processor);
        return reading;
    }
}
