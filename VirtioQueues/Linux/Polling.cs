using System.Diagnostics;
using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary><c>poll(2)</c> with an errno that can be read: the C library binding's own does not keep it, and an interruption must be told from a failure.</summary>
public static unsafe partial class Polling
{
    /// <summary>Waits until one of <paramref name="count"/> entries is ready; negative descriptors are skipped.</summary>
    /// <param name="entries">What to wait for; <c>revents</c> is filled in.</param>
    /// <param name="count">Number of entries.</param>
    /// <param name="milliseconds">−1: for ever.</param>
    /// <returns>Number of ready entries, 0 after the time, −1 with <see cref="Errno.Last"/> set.</returns>
    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static partial int Wait(pollfd* entries, nuint count, int milliseconds);

    /// <summary>Waits until <paramref name="fd"/> is ready for <paramref name="events"/>, or closed by the other end.</summary>
    /// <param name="fd">What to wait for.</param>
    /// <param name="events"><c>POLLIN</c>, <c>POLLOUT</c>, or 0 for a hang-up alone.</param>
    /// <param name="deadline">In ticks of <see cref="Stopwatch"/>; <see cref="long.MaxValue"/>: none.</param>
    /// <returns>False when the deadline passed.</returns>
    /// <exception cref="LinuxException">The kernel has no memory for it.</exception>
    public static bool WaitUntil(int fd, short events, long deadline)
    {
        pollfd entry = default;
        entry.fd = fd;
        entry.events = events;
        return WaitUntil(&entry, 1, deadline);
    }

    /// <summary>Waits until one of <paramref name="count"/> entries is ready; negative descriptors are skipped.</summary>
    /// <param name="entries">What to wait for; <c>revents</c> is filled in.</param>
    /// <param name="count">Number of entries.</param>
    /// <param name="deadline">In ticks of <see cref="Stopwatch"/>; <see cref="long.MaxValue"/>: none.</param>
    /// <returns>False when the deadline passed.</returns>
    /// <exception cref="LinuxException">The kernel has no memory for it.</exception>
    public static bool WaitUntil(pollfd* entries, int count, long deadline)
    {
        while (true)
        {
            long left = deadline - Stopwatch.GetTimestamp();
            int milliseconds = left <= 0 ? 0 : (int)Math.Min(int.MaxValue, ((left / (double)Stopwatch.Frequency) * 1000) + 1);
            int ready = Wait(entries, (nuint)count, milliseconds);
            if (ready > 0)
            {
                return true;
            }

            if (ready < 0)
            {
                int errno = Errno.Last;
                if (errno != Errno.EINTR)
                {
                    throw new LinuxException(errno, "poll");
                }
            }
            else if (Stopwatch.GetTimestamp() >= deadline)
            {
                return false;
            }
        }
    }
}
