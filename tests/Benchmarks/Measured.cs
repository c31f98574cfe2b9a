namespace Paravane.Benchmarks;

/// <summary>A whole run: what is kept between measuring and writing.</summary>
internal sealed record Measured(Machine Machine, int Rounds, double Seconds, IReadOnlyList<MeasuredTable> Tables);
