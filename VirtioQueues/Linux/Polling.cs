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
}
