namespace Paravane.Benchmarks;

/// <summary>A line of a table with its figures.</summary>
internal sealed record MeasuredRow(string Label, Must? Must, Series Ours, Series? Peer)
{
    /// <summary>Ours divided by the peer's, of the medians; our figure itself where there is no peer.</summary>
    public double Compared => Peer is null ? Ours.Median : Ours.Median / Peer.Median;
}
