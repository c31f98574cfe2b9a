using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>An epoll set of one worker: wakes it for kicks, mailbox orders and whatever else the device watches.</summary>
public sealed unsafe class Epoll : FileDescriptor
{
    /// <summary>Events fetched per wait; more stay queued in the kernel for the next one.</summary>
    private const int Burst = 16;

    /// <summary>Creates an empty set.</summary>
    /// <exception cref="LinuxException">No descriptor is left.</exception>
    public Epoll()
        : base(Check(LibC.epoll_create1(LibC.EPOLL_CLOEXEC), "epoll_create1"))
    {
    }

    /// <summary>Watches <paramref name="fd"/> for input (and <paramref name="writable"/>: for room), reporting <paramref name="tag"/>. Level-triggered.</summary>
    /// <exception cref="LinuxException">The descriptor cannot be polled or is watched already.</exception>
    public void Add(int fd, ulong tag, bool writable = false) => Control(LibC.EPOLL_CTL_ADD, fd, tag, writable ? (uint)LibC.EPOLLOUT : (uint)LibC.EPOLLIN);

    /// <summary>Stops watching <paramref name="fd"/>.</summary>
    /// <exception cref="LinuxException">It was not watched.</exception>
    public void Remove(int fd) => Control(LibC.EPOLL_CTL_DEL, fd, 0, 0);

    /// <summary>Waits up to <paramref name="timeoutMilliseconds"/> (−1: for ever, 0: not at all) and stores the tags of ready descriptors.</summary>
    /// <returns>Number of tags stored; 0 after a timeout or a signal.</returns>
    public int Wait(Span<ulong> tags, int timeoutMilliseconds)
    {
        epoll_event* events = stackalloc epoll_event[Burst];
        int count = LibC.epoll_wait(Number, events, Math.Min(Burst, tags.Length), timeoutMilliseconds);
        if (count < 0)
        {
            int errno = Errno.Last;
            return errno == Errno.EINTR ? 0 : throw new LinuxException(errno, "epoll_wait");
        }

        for (int i = 0; i < count; i++)
        {
            tags[i] = events[i].data.u64;
        }

        return count;
    }

    private void Control(int operation, int fd, ulong tag, uint interest)
    {
        epoll_event entry = default;
        entry.events = (int)interest;
        entry.data.u64 = tag;
        Check(LibC.epoll_ctl(Number, operation, fd, &entry), "epoll_ctl");
    }
}
