using Paravane.Hypervisor.Kvm.Abi;

namespace Paravane.Hypervisor.Kvm;

/// <summary>How often a vCPU came back from the guest to this process, and why.</summary>
/// <remarks>Written by the vCPU's thread, read by any.</remarks>
internal sealed class VcpuCounters
{
    /// <summary>Reasons counted one by one: all that the kernel knows today and some more.</summary>
    private const uint Known = 64;

    private readonly long[] _exits = new long[Known + 1];
    private long _interruptions, _firstRunAt;

    /// <summary>Exits in all, without <see cref="Interruptions"/>.</summary>
    public long Exits
    {
        get
        {
            long sum = 0;
            for (int i = 0; i < _exits.Length; i++)
            {
                sum += Volatile.Read(ref _exits[i]);
            }

            return sum;
        }
    }

    /// <summary>Returns because of a signal, or of an INIT: no request of the guest.</summary>
    public long Interruptions => Volatile.Read(ref _interruptions);

    /// <summary>When the vCPU entered the guest for the first time, in <see cref="System.Diagnostics.Stopwatch"/> ticks; 0: it has not.</summary>
    public long FirstRunAt => Volatile.Read(ref _firstRunAt);

    /// <summary>Exits for one reason.</summary>
    public long this[KvmExitReason reason] => Volatile.Read(ref _exits[Math.Min((uint)reason, Known)]);

    /// <summary>Counts one. vCPU thread only, so nothing is lost without an atomic operation.</summary>
    internal void Count(KvmExitReason reason)
    {
        ref long cell = ref _exits[Math.Min((uint)reason, Known)];
        Volatile.Write(ref cell, cell + 1);
    }

    /// <summary>Notes that the guest is entered. vCPU thread only.</summary>
    internal void NoteRun(long timestamp)
    {
        if (_firstRunAt == 0)
        {
            Volatile.Write(ref _firstRunAt, timestamp);
        }
    }

    /// <summary>Counts an interruption. vCPU thread only.</summary>
    internal void CountInterruption() => Volatile.Write(ref _interruptions, _interruptions + 1);
}
