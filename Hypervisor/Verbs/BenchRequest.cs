using Paravane.Hypervisor.Bench;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Verbs;

/// <summary>Values of <see cref="BenchOptions"/>.</summary>
internal sealed record BenchRequest
{
    /// <summary>Socket of the back-end.</summary>
    public required string SocketPath { get; init; }

    /// <summary>Ring format.</summary>
    public required RingFormat Format { get; init; }

    /// <summary>Negotiate EVENT_IDX.</summary>
    public required bool EventIndex { get; init; }

    /// <summary>0, or <see cref="LoadThread.PollAlways"/>.</summary>
    public required int SpinMicroseconds { get; init; }

    /// <summary>Check the contents.</summary>
    public required bool Verify { get; init; }

    /// <summary>Measured time.</summary>
    public required TimeSpan Runtime { get; init; }

    /// <summary>Time before measuring.</summary>
    public required TimeSpan Warmup { get; init; }

    /// <summary>Processors of the load threads.</summary>
    public required int[] Cpus { get; init; }

    /// <summary>Guest memory of huge pages.</summary>
    public required bool HugePages { get; init; }

    /// <summary>Print JSON.</summary>
    public required bool Json { get; init; }
}
