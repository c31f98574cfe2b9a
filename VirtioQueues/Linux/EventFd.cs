using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>An eventfd (or, from a foreign peer, a pipe end that is used like one): kick, call, error or wake-up.</summary>
public sealed unsafe class EventFd : FileDescriptor
{
    /// <summary>Creates a non-blocking, close-on-exec eventfd with counter 0.</summary>
    /// <exception cref="LinuxException">No descriptor or memory is left.</exception>
    public EventFd()
        : base(Check(LibC.eventfd(0, LibC.EFD_CLOEXEC | LibC.EFD_NONBLOCK), "eventfd"))
    {
    }

    /// <summary>Takes ownership of a received descriptor.</summary>
    public EventFd(int fd)
        : base(fd)
    {
    }

    /// <summary>Adds one to the counter. A full counter or pipe already carries the signal, so that counts as success.</summary>
    /// <returns>False when the other end is gone.</returns>
    public bool Signal() => Signal(Number);

    /// <summary>As <see cref="Signal()"/>, on a raw number the caller keeps alive.</summary>
    public static bool Signal(int fd)
    {
        ulong one = 1;
        while (true)
        {
            if (LibC.write(fd, &one, sizeof(ulong)) >= 0)
            {
                return true;
            }

            int errno = Errno.Last;
            if (errno != Errno.EINTR)
            {
                return errno == Errno.EAGAIN;
            }
        }
    }

    /// <summary>Takes the counter back to 0.</summary>
    /// <returns>True when it had been signalled.</returns>
    public bool Drain() => Drain(Number);

    /// <summary>As <see cref="Drain()"/>, on a raw non-blocking descriptor. Reads a pipe in pieces of 512 bytes, at most one per call.</summary>
    public static bool Drain(int fd)
    {
        byte* scratch = stackalloc byte[512];
        while (true)
        {
            if (LibC.read(fd, scratch, 512) > 0)
            {
                return true;
            }

            if (Errno.Last != Errno.EINTR)
            {
                return false;
            }
        }
    }

    /// <summary>True when the writing end of a pipe is closed, so that no signal can come any more.</summary>
    public static bool IsHungUp(int fd)
    {
        var entry = new pollfd { fd = fd, events = (short)LibC.POLLIN };
        return LibC.poll(&entry, 1, 0) > 0 && ((entry.revents & LibC.POLLHUP) != 0 || (entry.revents & LibC.POLLERR) != 0 || (entry.revents & LibC.POLLNVAL) != 0);
    }

    /// <summary>True when <paramref name="descriptor"/> can carry signals: an eventfd or a pipe end (threats M8).</summary>
    public static bool CanBe(FileDescriptor descriptor)
    {
        FileStatus status = FileStatus.Of(descriptor);
        if (!status.IsAnonymousInode)
        {
            return status.IsFifo;
        }

        // Of all anonymous inodes only an eventfd takes a write of eight zero bytes; it adds nothing to the counter and never blocks.
        // The name in /proc/self/fd would say the same, but a jail may be without /proc.
        ulong zero = 0;
        return LibC.write(descriptor.Number, &zero, sizeof(ulong)) == sizeof(ulong);
    }
}
