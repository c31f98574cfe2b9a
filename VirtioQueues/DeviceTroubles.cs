using System.Globalization;

namespace Paravane.VirtioQueues;

/// <summary>What goes wrong on a device's data path: counted there by kind, told in words elsewhere.</summary>
/// <remarks>Any thread. Counting allocates nothing and never waits. <see cref="Raised"/> comes once until <see cref="Take"/>, however much goes wrong meanwhile.</remarks>
public sealed class DeviceTroubles
{
    // Longer than the kinds: counters of two never share a cache line (nor the pair that prefetchers fetch together).
    private const int Room = 32;

    private readonly string _subject;
    private readonly string?[] _kinds;
    private readonly long[] _counts = new long[Room];
    private readonly long[] _told = new long[Room];
    private volatile bool _isRaised;

    /// <summary>Creates counters.</summary>
    /// <param name="subject">What something happened to: «requests that failed».</param>
    /// <param name="kinds">What each kind is called behind its number; null: counted, and nothing to be told of. At most 32.</param>
    public DeviceTroubles(string subject, params string?[] kinds)
    {
        ArgumentNullException.ThrowIfNull(kinds);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(kinds.Length, Room, nameof(kinds));
        _subject = subject;
        _kinds = kinds;
    }

    /// <summary>There is something to <see cref="Take"/>. On the counting thread; must not wait.</summary>
    public event Action? Raised;

    /// <summary>How often it happened.</summary>
    public long Total => Enumerable.Range(0, _kinds.Length).Sum(kind => this[kind]);

    /// <summary>How often <paramref name="kind"/> happened.</summary>
    public long this[int kind] => Volatile.Read(ref _counts[kind]);

    /// <summary>Counts one.</summary>
    public void Count(int kind)
    {
        Interlocked.Increment(ref _counts[kind]);
        if (!_isRaised && _kinds[kind] is not null)
        {
            _isRaised = true;
            Raised?.Invoke();
        }
    }

    /// <summary>What has come since the last time. One caller at a time.</summary>
    /// <returns>One line, or null when nothing has.</returns>
    public string? Take()
    {
        _isRaised = false; // first: what comes from now on raises again
        var parts = new List<string>();
        for (int kind = 0; kind < _kinds.Length; kind++)
        {
            long count = this[kind], fresh = count - _told[kind];
            if (fresh != 0 && _kinds[kind] is { } name)
            {
                _told[kind] = count;
                parts.Add(string.Create(CultureInfo.InvariantCulture, $"{fresh} {name}"));
            }
        }

        return parts.Count == 0 ? null : $"{_subject}: {string.Join(", ", parts)}";
    }
}
