namespace Paravane.Benchmarks;

/// <summary>A line of a table before it is measured.</summary>
/// <param name="Label">What the row measures.</param>
/// <param name="Ours">Measures our side once.</param>
/// <param name="Peers">Measure the peer once: one for each way to run it that may be its best. None: the row has no peer.</param>
/// <param name="Must">What our figure, or its ratio to the peer's, must be.</param>
internal sealed record Row(string Label, Func<Sample> Ours, IReadOnlyList<Peer> Peers, Must? Must);

/// <summary>One way to run the peer.</summary>
internal sealed record Peer(string Name, Func<Sample> Measure);
