using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>Standard output and error, which others may share and must therefore not be made non-blocking.</summary>
public static unsafe class StandardStream
{
    /// <summary>Writes <paramref name="line"/> if there is room for it now.</summary>
    /// <returns>False when it was dropped.</returns>
    public static bool TryWrite(int fd, ReadOnlySpan<byte> line)
    {
        // A pipe that polls as writable takes at least 4096 bytes at once.
        var entry = new pollfd { fd = fd, events = (short)LibC.POLLOUT };
        if (LibC.poll(&entry, 1, 0) <= 0 || (entry.revents & LibC.POLLOUT) == 0)
        {
            return false;
        }

        fixed (byte* pointer = line[..Math.Min(line.Length, 4096)])
        {
            return LibC.write(fd, pointer, (size_t)(ulong)Math.Min(line.Length, 4096)) >= 0;
        }
    }
}
