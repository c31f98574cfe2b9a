namespace Paravane.Benchmarks;

/// <summary>All measurements of one side of a row.</summary>
internal sealed record Series(string Name, IReadOnlyList<double> Values, string Backend, string Frontend)
{
    /// <summary>The middle value.</summary>
    public double Median
    {
        get
        {
            double[] sorted = [.. Values.Order()];
            int middle = sorted.Length / 2;
            return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        }
    }

    /// <summary>The smallest value.</summary>
    public double Min => Values.Min();

    /// <summary>The largest value.</summary>
    public double Max => Values.Max();
}
