namespace Paravane.Peers;

/// <summary>How <see cref="Testpmd"/> is started.</summary>
public sealed record TestpmdOptions
{
    /// <summary>Arguments of <c>--vdev</c>; the order gives the numbers of the ports.</summary>
    public required IReadOnlyList<string> Devices { get; init; }

    /// <summary>The CPU of both of testpmd's threads, the one that forwards and the one that reads commands; null for any CPU.</summary>
    public int? Cpu { get; init; }

    /// <summary>Receive and transmit queues of each port.</summary>
    public int Queues { get; init; } = 1;

    /// <summary>What is done with received packets: <c>io</c> passes them on untouched.</summary>
    public string ForwardMode { get; init; } = "io";

    /// <summary>Further arguments of testpmd itself.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];

    /// <summary>The time after which testpmd is ended.</summary>
    public TimeSpan Lifetime { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>False: memory of ordinary pages even when huge pages are free.</summary>
    public bool HugePages { get; init; } = true;
}
