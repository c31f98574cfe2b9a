using System.Globalization;

namespace Paravane.Benchmarks;

/// <summary>A bar that a row is held against: of the ratio to the peer, or of our figure itself when the row has no peer.</summary>
internal sealed record Must(double Bar, bool AtLeast)
{
    /// <summary>The bar as a reader expects it: <c>≥ 1.3 ×</c>.</summary>
    public string Describe(bool isRatio, string unit) =>
        string.Create(CultureInfo.InvariantCulture, $"{(AtLeast ? '≥' : '≤')} {Bar:0.##} {(isRatio ? "×" : unit)}");

    /// <summary>Whether a value is on the right side.</summary>
    public bool IsMet(double value) => AtLeast ? value >= Bar : value <= Bar;
}
