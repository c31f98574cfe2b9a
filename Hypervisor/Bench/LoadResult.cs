namespace Paravane.Hypervisor.Bench;

/// <summary>What came out of a run, over all its loads.</summary>
internal sealed record LoadResult
{
    /// <summary>Length of the measured time in seconds.</summary>
    public required double Seconds { get; init; }

    /// <summary>Requests or frames done in that time.</summary>
    public required long Done { get; init; }

    /// <summary>Their payload in bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>Latencies in that time.</summary>
    public required LatencyHistogram Latency { get; init; }

    /// <summary>Requests or frames that never came back, over the whole run.</summary>
    public required long Lost { get; init; }

    /// <summary>Failures, wrong contents, duplicates and disorder, over the whole run.</summary>
    public required long Errors { get; init; }

    /// <summary>Blocks or frames checked and found right, over the whole run.</summary>
    public required long Verified { get; init; }

    /// <summary>The first error in words, or null.</summary>
    public required string? FirstError { get; init; }

    /// <summary>Requests or frames a second.</summary>
    public double Rate => Done / Seconds;

    /// <summary>Payload in 10⁹ bits a second.</summary>
    public double GigabitsPerSecond => Bytes * 8 / Seconds / 1e9;
}
