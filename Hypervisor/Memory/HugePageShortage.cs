using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Memory;

/// <summary>Huge pages that are not there, found while memory is mapped: a touch of memory mapped without them ends the process.</summary>
internal static class HugePageShortage
{
    private const ulong PageBytes = 2UL << 20;

    /// <summary>True when this is why memory of huge pages could not be mapped.</summary>
    public static bool Is(GuestMemoryException failure) => failure.InnerException is LinuxException { Errno: Errno.ENOMEM };

    /// <summary>The error for the user.</summary>
    public static IOException Of(ulong sizeBytes, GuestMemoryException failure) => new(
        $"guest memory of {sizeBytes >> 20} MiB: fewer than {sizeBytes / PageBytes} huge pages of 2 MiB are free (see /proc/sys/vm/nr_hugepages)", failure);
}
