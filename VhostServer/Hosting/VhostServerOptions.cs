namespace Paravane.VhostServer.Hosting;

/// <summary>Where and how one device is served.</summary>
public sealed record VhostServerOptions
{
    /// <summary>UNIX socket to listen on or, with <see cref="Client"/>, to connect to. Exactly one of this and <see cref="InheritedDescriptor"/>.</summary>
    public string? SocketPath { get; init; }

    /// <summary>Number of an open socket, connected or listening, which the server takes over.</summary>
    public int? InheritedDescriptor { get; init; }

    /// <summary>Connect and retry for ever, in place of listening.</summary>
    public bool Client { get; init; }

    /// <summary>How long idle workers poll.</summary>
    public PollSetting Poll { get; init; } = PollSetting.Default;

    /// <summary>CPUs for the workers: worker i runs on entry i, round robin. Empty: wherever the kernel likes.</summary>
    public IReadOnlyList<int> Cpus { get; init; } = [];

    /// <summary>How long a peer may stall in the middle of a message, or leave a reply unread, before it is dropped (threats M2, M18).</summary>
    public TimeSpan MessageDeadline { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Longest pause between two attempts to connect.</summary>
    public TimeSpan RetryInterval { get; init; } = TimeSpan.FromSeconds(1);
}
