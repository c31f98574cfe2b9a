using System.Text;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>Anonymous shareable memory, <c>memfd_create(2)</c>: guest RAM of a demo or a test, or an inflight record.</summary>
public sealed unsafe class MemFd : FileDescriptor
{
    private const int AddSeals = 1033, GetSeals = 1034; // F_ADD_SEALS, F_GET_SEALS
    private const uint CloseOnExec = 1, AllowSealing = 2, HugePages = 4 | (21u << 26); // MFD_*; 2 MiB, whatever the host's default size
    private const int SealSeal = 1, SealShrink = 2, SealGrow = 4; // F_SEAL_*

    private MemFd(int fd, ulong lengthBytes)
        : base(fd) => LengthBytes = lengthBytes;

    /// <summary>Length in bytes, fixed by seals.</summary>
    public ulong LengthBytes { get; }

    /// <summary>Makes sure that nobody, whoever holds the file, can shrink it any more: pages that are mapped here stay.</summary>
    /// <returns>False when that is not possible: no memfd, or one that may not be sealed.</returns>
    public static bool TrySealSize(FileDescriptor file)
    {
        ArgumentNullException.ThrowIfNull(file);
        int seals = LibC.fcntl(file.Number, GetSeals);
        return seals >= 0 && ((seals & SealShrink) != 0 || LibC.fcntl(file.Number, AddSeals, SealShrink) >= 0);
    }

    /// <summary>Creates <paramref name="lengthBytes"/> of zeroed memory, sealed against growing and shrinking.</summary>
    /// <param name="name">Shown in <c>/proc/PID/maps</c>.</param>
    /// <param name="lengthBytes">Length in bytes; with huge pages a multiple of 2 MiB.</param>
    /// <param name="hugePages">Back it with huge pages of 2 MiB.</param>
    /// <exception cref="LinuxException">Not enough memory or huge pages.</exception>
    public static MemFd Create(string name, ulong lengthBytes, bool hugePages = false)
    {
        byte[] text = Encoding.UTF8.GetBytes(name + "\0");
        int fd;
        fixed (byte* pointer = text)
        {
            fd = Check((int)Native.Syscall(Native.MemfdCreate, (nint)pointer, (nint)(CloseOnExec | AllowSealing | (hugePages ? HugePages : 0))), "memfd_create");
        }

        var memory = new MemFd(fd, lengthBytes);
        try
        {
            Check(LibC.ftruncate(fd, (long)lengthBytes), "ftruncate");
            Check(LibC.fcntl(fd, AddSeals, SealShrink | SealGrow | SealSeal), "fcntl");
            return memory;
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }
}
