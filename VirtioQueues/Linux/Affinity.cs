using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>Which processors a thread may run on.</summary>
public static unsafe class Affinity
{
    /// <summary>Processors that the kernel's <c>cpu_set_t</c> has room for.</summary>
    public const int MaxCpus = 1024;

    /// <summary>Keeps the calling thread on <paramref name="cpu"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">No such number fits.</exception>
    /// <exception cref="LinuxException">The processor does not exist or is not allowed to this process (EINVAL).</exception>
    public static void Pin(int cpu)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(cpu);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(cpu, MaxCpus);
        ulong* set = stackalloc ulong[MaxCpus / 64];
        new Span<ulong>(set, MaxCpus / 64).Clear();
        set[cpu / 64] = 1UL << (cpu % 64);
        FileDescriptor.Check(LibC.sched_setaffinity(0, MaxCpus / 8, (cpu_set_t*)set), "sched_setaffinity", $"cpu {cpu}");
    }
}
