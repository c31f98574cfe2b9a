using System.Diagnostics;
using System.Text;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Frontend;

/// <summary>The front-end's end of a vhost-user socket: bytes and descriptors, each call bounded by a deadline.</summary>
/// <remarks>One thread at a time. The descriptor is non-blocking; waiting is done by <c>poll</c>.</remarks>
internal sealed unsafe class FrontendSocket : IDisposable
{
    /// <summary>Descriptors that one message may carry here; more are announced by the kernel as truncation and refused.</summary>
    private const int MaxDescriptors = 32;

    /// <summary>Size of <c>struct cmsghdr</c>.</summary>
    private const int ControlHeaderBytes = 16; // struct cmsghdr: u64 length, i32 level, i32 type

    private const int PathCapacityBytes = 108; // sun_path

    private readonly FileDescriptor _socket;

    /// <summary>Takes ownership of a connected stream socket.</summary>
    /// <exception cref="LinuxException">The descriptor is closed.</exception>
    public FrontendSocket(FileDescriptor connected)
    {
        _socket = connected;
        _socket.SetNonBlocking();
    }

    /// <summary>The raw number, for <c>poll</c>.</summary>
    public int Number => _socket.Number;

    /// <summary>Connects to the listening socket at <paramref name="path"/>.</summary>
    /// <exception cref="FrontendException">Nothing listens there, or the path is too long; the message says which and what to do.</exception>
    public static FrontendSocket Connect(string path) => new(Open(path));

    /// <summary>The bare descriptor of <see cref="Connect"/>, non-blocking. Does not wait.</summary>
    /// <exception cref="FrontendException">As there.</exception>
    public static FileDescriptor Open(string path)
    {
        byte[] name = Encoding.UTF8.GetBytes(path);
        if (name.Length >= PathCapacityBytes)
        {
            throw new FrontendException($"socket path '{path}' is {name.Length} bytes long: at most {PathCapacityBytes - 1} fit a UNIX socket address");
        }

        var socket = new FileDescriptor(FileDescriptor.Check(LibC.socket(LibC.AF_UNIX, LibC.SOCK_STREAM | LibC.SOCK_CLOEXEC | LibC.SOCK_NONBLOCK, 0), "socket")); // else a full queue is waited for without end
        byte* address = stackalloc byte[sizeof(ushort) + PathCapacityBytes];
        new Span<byte>(address, sizeof(ushort) + PathCapacityBytes).Clear();
        *(sa_family_t*)address = LibC.AF_UNIX;
        name.CopyTo(new Span<byte>(address + sizeof(ushort), PathCapacityBytes));
        while (LibC.connect(socket.Number, (sockaddr*)address, (uint)(sizeof(ushort) + name.Length + 1)) < 0)
        {
            int errno = Errno.Last;
            if (errno == Errno.EINTR)
            {
                continue;
            }

            socket.Dispose();
            throw new FrontendException(errno switch
            {
                Errno.ENOENT => $"no socket at '{path}': start the back-end first, with --socket-path={path}",
                Errno.ECONNREFUSED when !SocketFile.IsAt(path) => $"'{path}' is not a socket: --socket-path=PATH of the back-end names it",
                Errno.ECONNREFUSED => $"nobody listens at '{path}': its back-end has ended",
                Errno.EACCES or Errno.EPERM => $"no permission to connect to '{path}'",
                Errno.EAGAIN => $"the back-end at '{path}' does not accept connections: its queue is full",
                _ => $"cannot connect to '{path}': {Errno.TextOf(errno)}",
            });
        }

        return socket;
    }

    /// <summary>Sends all of <paramref name="message"/>; <paramref name="descriptors"/> travel with its first byte.</summary>
    /// <returns>False when the deadline passed.</returns>
    /// <exception cref="LinuxException">The other end is closed (EPIPE, ECONNRESET).</exception>
    public bool TrySend(ReadOnlySpan<byte> message, ReadOnlySpan<int> descriptors, long deadline)
    {
        int controlBytes = ControlHeaderBytes + ((((descriptors.Length * sizeof(int)) + 7) / 8) * 8);
        byte* control = stackalloc byte[controlBytes];
        fixed (byte* start = message)
        {
            int sent = 0;
            while (sent < message.Length)
            {
                iovec part = default;
                part.iov_base = start + sent;
                part.iov_len = message.Length - sent;
                msghdr header = default;
                header.msg_iov = &part;
                header.msg_iovlen = 1;
                if (sent == 0 && !descriptors.IsEmpty)
                {
                    *(ulong*)control = (ulong)(ControlHeaderBytes + (descriptors.Length * sizeof(int))); // exact, not rounded up
                    *(int*)(control + 8) = LibC.SOL_SOCKET;
                    *(int*)(control + 12) = LibC.SCM_RIGHTS;
                    descriptors.CopyTo(new Span<int>(control + ControlHeaderBytes, descriptors.Length));
                    header.msg_control = control;
                    header.msg_controllen = controlBytes;
                }

                long count = LibC.sendmsg(_socket.Number, &header, LibC.MSG_NOSIGNAL | LibC.MSG_DONTWAIT);
                if (count >= 0)
                {
                    sent += (int)count;
                    continue;
                }

                int errno = Errno.Last;
                if (errno == Errno.EAGAIN)
                {
                    if (!Wait(_socket.Number, LibC.POLLOUT, deadline))
                    {
                        return false;
                    }
                }
                else if (errno != Errno.EINTR)
                {
                    throw new LinuxException(errno, "sendmsg");
                }
            }
        }

        return true;
    }

    /// <summary>Receives what has arrived, up to <paramref name="buffer"/>, without waiting.</summary>
    /// <param name="buffer">Destination, not empty.</param>
    /// <param name="descriptors">Gets the descriptors that came along; the caller owns them, also when this throws.</param>
    /// <returns>Bytes received; 0 at the end of the stream; −1 when nothing has arrived.</returns>
    /// <exception cref="LinuxException">The connection was reset.</exception>
    /// <exception cref="FrontendException">More descriptors came than a message may carry.</exception>
    public int TryReceive(Span<byte> buffer, List<FileDescriptor> descriptors)
    {
        const int ControlBytes = ControlHeaderBytes + (MaxDescriptors * sizeof(int));
        byte* control = stackalloc byte[ControlBytes];
        fixed (byte* start = buffer)
        {
            while (true)
            {
                iovec part = default;
                part.iov_base = start;
                part.iov_len = buffer.Length;
                msghdr header = default;
                header.msg_iov = &part;
                header.msg_iovlen = 1;
                header.msg_control = control;
                header.msg_controllen = ControlBytes;
                long count = LibC.recvmsg(_socket.Number, &header, LibC.MSG_CMSG_CLOEXEC | LibC.MSG_DONTWAIT);
                if (count < 0)
                {
                    int errno = Errno.Last;
                    if (errno == Errno.EINTR)
                    {
                        continue;
                    }

                    return errno == Errno.EAGAIN ? -1 : throw new LinuxException(errno, "recvmsg");
                }

                TakeDescriptors(control, (uint)header.msg_controllen, descriptors);
                if ((header.msg_flags & LibC.MSG_CTRUNC) != 0)
                {
                    throw new FrontendException($"a message came with more than {MaxDescriptors} descriptors");
                }

                return (int)count;
            }
        }
    }

    /// <summary>Ends the stream to the other end, and waits until that has closed.</summary>
    /// <returns>False when the deadline passed.</returns>
    public bool Leave(long deadline)
    {
        _ = LibC.shutdown(_socket.Number, LibC.SHUT_WR);
        return Wait(_socket.Number, 0, deadline); // POLLHUP: both directions have ended
    }

    /// <summary>Waits until <paramref name="fd"/> is ready for <paramref name="events"/>, or closed.</summary>
    /// <returns>False when the deadline (<see cref="Stopwatch"/> ticks) passed.</returns>
    public static bool Wait(int fd, short events, long deadline)
    {
        pollfd* entry = stackalloc pollfd[1];
        entry[0].fd = fd;
        entry[0].events = events;
        return Wait(entry, 1, deadline);
    }

    /// <summary>Waits until one of <paramref name="count"/> entries is ready. A negative <c>fd</c> is skipped by the kernel.</summary>
    /// <returns>False when the deadline (<see cref="Stopwatch"/> ticks) passed.</returns>
    public static bool Wait(pollfd* entries, int count, long deadline)
    {
        while (true)
        {
            long left = deadline - Stopwatch.GetTimestamp();
            int milliseconds = left <= 0 ? 0 : (int)Math.Min(int.MaxValue, ((left * 1000) / Stopwatch.Frequency) + 1);
            int ready = Polling.Wait(entries, (nuint)count, milliseconds);
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

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    private static void TakeDescriptors(byte* control, uint controlBytes, List<FileDescriptor> descriptors)
    {
        uint offset = 0;
        while (controlBytes - offset >= ControlHeaderBytes && offset < controlBytes)
        {
            ulong length = *(ulong*)(control + offset);
            if (length < ControlHeaderBytes || length > controlBytes - offset)
            {
                return; // the kernel writes none such
            }

            if (*(int*)(control + offset + 8) == LibC.SOL_SOCKET && *(int*)(control + offset + 12) == LibC.SCM_RIGHTS)
            {
                int count = (int)((length - ControlHeaderBytes) / sizeof(int));
                foreach (int fd in new ReadOnlySpan<int>(control + offset + ControlHeaderBytes, count))
                {
                    descriptors.Add(new FileDescriptor(fd));
                }
            }

            offset += (uint)((length + 7) & ~7UL);
        }
    }
}
