using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>Standard input, output and error, which others may share and must therefore not be made non-blocking.</summary>
public static unsafe class StandardStream
{
    /// <summary>Number of standard error.</summary>
    public const int Error = 2;

    private const int ReadOnlyFlag = 0, WriteOnlyFlag = 1; // O_*
    private const int CloseOnExec = 1; // FD_CLOEXEC

    /// <summary>Fills those of the descriptors 0 to 2 that came closed: else the next file to be opened, a disk image perhaps, would get the program's messages.</summary>
    /// <remarks>
    /// Before anything else is opened, but by the runtime, whose files may have got such a number already and keep it. What fills the others fails as a closed
    /// one does: opened in the wrong direction.
    /// </remarks>
    public static void Reserve()
    {
        for (int fd = 0; fd <= Error; fd++)
        {
            if (LibC.fcntl(fd, LibC.F_GETFD) < 0)
            {
                fixed (byte* path = "/dev/null\0"u8)
                {
                    _ = Native.Open(path, fd == 0 ? WriteOnlyFlag : ReadOnlyFlag, 0); // the lowest number that is free
                }
            }
        }
    }

    /// <summary>
    /// Whether the descriptor came from who started this process. One that came closed may belong to the runtime, which opens files before the program begins:
    /// all with FD_CLOEXEC, which no descriptor has that came through an exec.
    /// </summary>
    public static bool IsInherited(int fd) => LibC.fcntl(fd, LibC.F_GETFD) is var flags and >= 0 && (flags & CloseOnExec) == 0;

    /// <summary>Writes <paramref name="line"/> if there is room for it now.</summary>
    /// <returns>False when it was dropped.</returns>
    public static bool TryWrite(int fd, ReadOnlySpan<byte> line)
    {
        // A pipe that polls as writable takes at least 4096 bytes at once.
        var entry = new pollfd { fd = fd, events = (short)LibC.POLLOUT };
        if (!IsInherited(fd) || LibC.poll(&entry, 1, 0) <= 0 || (entry.revents & LibC.POLLOUT) == 0)
        {
            return false;
        }

        fixed (byte* pointer = line[..Math.Min(line.Length, 4096)])
        {
            return LibC.write(fd, pointer, (size_t)(ulong)Math.Min(line.Length, 4096)) >= 0;
        }
    }
}
