namespace Paravane.Benchmarks;

/// <summary>How long and where is measured.</summary>
internal sealed record Settings
{
    /// <summary>Measurements of each side in a row, ours and the peer's by turns.</summary>
    public required int Rounds { get; init; }

    /// <summary>Length of one measurement.</summary>
    public required double Seconds { get; init; }

    /// <summary>How long a back-end is left alone, with its front-end stopped, to see what it costs idle.</summary>
    public required double IdleSeconds { get; init; }

    /// <summary>Only the first row of each table.</summary>
    public required bool Quick { get; init; }

    /// <summary>Only tables whose name contains this.</summary>
    public required string Only { get; init; }

    /// <summary>The CPU of the back-end, ours or the peer's.</summary>
    public int BackendCpu { get; init; }

    /// <summary>The CPU of the front-end.</summary>
    public int FrontendCpu { get; init; } = Math.Min(1, Environment.ProcessorCount - 1);

    /// <summary>The time after which the processes of one measurement are ended whatever happens.</summary>
    public TimeSpan Lifetime => TimeSpan.FromSeconds(Seconds + IdleSeconds + 30);
}
