using System.Diagnostics;
using Paravane.Hypervisor.Launch;

namespace Paravane.Hypervisor.Machine;

/// <summary>How long the phases of a start took.</summary>
/// <remarks>One thread writes, before anybody reads.</remarks>
internal sealed class StartTimes
{
    private readonly List<(string Phase, long Microseconds)> _phases = [];
    private long _last = Stopwatch.GetTimestamp();

    /// <summary>Phases in their order, in microseconds.</summary>
    public IReadOnlyList<(string Phase, long Microseconds)> Phases => _phases;

    /// <summary>From the start of the process to the first instruction of the guest, in microseconds; see <see cref="OwnProcess.TimeSinceStart"/>.</summary>
    public long TotalMicroseconds { get; private set; }

    /// <summary>Ends a phase.</summary>
    public void End(string phase)
    {
        long now = Stopwatch.GetTimestamp();
        _phases.Add((phase, (now - _last) * 1_000_000 / Stopwatch.Frequency));
        _last = now;
    }

    /// <summary>Ends the start.</summary>
    public void Finish() => TotalMicroseconds = (long)OwnProcess.TimeSinceStart().TotalMicroseconds;
}
