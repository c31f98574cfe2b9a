using System.Text;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Boot;

/// <summary>A regular file that is loaded into guest memory: kernel or initrd. Stays open, so that a guest that reboots gets it again.</summary>
/// <remarks>One thread at a time. Read by system calls, never mapped: a file that shrinks meanwhile is an error, not a SIGBUS.</remarks>
internal sealed unsafe class BootFile : IByteSource, IDisposable
{
    private readonly FileDescriptor _file;

    private BootFile(string name, FileDescriptor file, ulong lengthBytes)
    {
        Name = name;
        _file = file;
        LengthBytes = lengthBytes;
    }

    /// <summary>What it is and its path, to begin a message with: <c>kernel '/boot/vmlinuz'</c>.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public ulong LengthBytes { get; }

    /// <summary>Opens <paramref name="path"/>.</summary>
    /// <param name="role"><c>kernel</c> or <c>initrd</c>.</param>
    /// <param name="path">A regular file that is not empty.</param>
    /// <exception cref="BootException">It is missing, forbidden, empty or no regular file.</exception>
    public static BootFile Open(string role, string path)
    {
        string name = $"{role} '{path}'";
        FileDescriptor file = OpenReadOnly(name, path);
        try
        {
            FileStatus status = FileStatus.Of(file);
            if (!status.IsRegular)
            {
                throw new BootException(status.IsDirectory ? $"{name} is a directory" : $"{name} is not a regular file");
            }

            return status.SizeBytes > 0 ? new BootFile(name, file, status.SizeBytes) : throw new BootException($"{name} is empty");
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> target)
    {
        if (offset > LengthBytes)
        {
            throw new BootException($"{Name} is cut off: it ends at byte 0x{LengthBytes:x}");
        }

        while (!target.IsEmpty)
        {
            long count;
            fixed (byte* pointer = target)
            {
                count = LibC.pread(_file.Number, pointer, target.Length, (long)offset);
            }

            if (count > 0)
            {
                target = target[(int)count..];
                offset += (ulong)count;
            }
            else if (count == 0)
            {
                throw new BootException($"{Name} is cut off: it ends at byte 0x{offset:x}");
            }
            else if (Errno.Last is int errno && errno != Errno.EINTR)
            {
                throw new BootException($"{Name}: reading failed: {Errno.NameOf(errno)} ({Errno.TextOf(errno)})");
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static FileDescriptor OpenReadOnly(string name, string path)
    {
        if (path.Length == 0 || path.Contains('\0', StringComparison.Ordinal))
        {
            throw new BootException($"{name} is not a path");
        }

        fixed (byte* text = Encoding.UTF8.GetBytes(path + "\0"))
        {
            // Non-blocking, so that a FIFO is refused rather than waited for.
            int fd = LibC.open(text, LibC.O_RDONLY | LibC.O_CLOEXEC | LibC.O_NONBLOCK);
            if (fd < 0)
            {
                int errno = Errno.Last;
                throw new BootException(errno == Errno.ENOENT ? $"{name} does not exist" : $"{name}: {Errno.NameOf(errno)} ({Errno.TextOf(errno)})");
            }

            return new FileDescriptor(fd);
        }
    }
}
