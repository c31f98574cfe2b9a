using System.Diagnostics;

namespace Paravane.EndToEnd.Crash;

/// <summary>How long after a back-end's return its first completion came, over many returns.</summary>
internal sealed class RestartTimes
{
    /// <summary>What a front-end may count on.</summary>
    private const double LimitMilliseconds = 100;

    private readonly List<double> _milliseconds = [];

    /// <summary>The first completion is there.</summary>
    /// <param name="there">When the socket was.</param>
    public void Add(long there) => _milliseconds.Add(Stopwatch.GetElapsedTime(there).TotalMilliseconds);

    /// <summary>The median must keep the limit: single returns may fall into a moment in which a busy machine does something else, half of them cannot.</summary>
    public void AssertMedian(int kills)
    {
        Assert.Equal(kills, _milliseconds.Count);
        _milliseconds.Sort();
        string words = $"{kills} kills: from the socket to the first completion {_milliseconds[kills / 2]:0.0} ms in the median, {_milliseconds[^1]:0.0} ms at most";
        TestContext.Current.TestOutputHelper?.WriteLine(words);
        Assert.True(_milliseconds[kills / 2] <= LimitMilliseconds, words);
    }
}
