using System.Text;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>A stream socket of family AF_UNIX, which carries descriptors beside bytes. No transfer ever waits, whatever the socket's mode.</summary>
/// <remarks>Any thread; one sender and one receiver at a time.</remarks>
public sealed unsafe class UnixSocket : FileDescriptor
{
    /// <summary>Longest path that a socket address holds, in bytes, without its terminator.</summary>
    public const int MaxPathBytes = 107;

    /// <summary>Descriptors that one <see cref="TryReceive"/> takes in; a peer that sends more loses the message.</summary>
    public const int MaxDescriptors = 32;

    // struct cmsghdr on 64-bit machines: u64 length with the header, int level, int type, then the descriptors.
    private const int ControlHeaderBytes = 16;
    private const int ControlBytes = ControlHeaderBytes + (MaxDescriptors * sizeof(int));

    /// <summary>Takes ownership of a socket.</summary>
    public UnixSocket(int fd)
        : base(fd)
    {
    }

    /// <summary>Takes a socket over from <paramref name="descriptor"/>, which is empty afterwards.</summary>
    public static UnixSocket From(FileDescriptor descriptor)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        int fd = descriptor.Number;
        descriptor.SetHandleAsInvalid();
        return new UnixSocket(fd);
    }

    /// <summary>Binds a new socket to <paramref name="path"/> and listens.</summary>
    /// <param name="path">Where.</param>
    /// <param name="backlog">Connections that may wait.</param>
    /// <param name="ownerOnly">Mode 0600 for its file.</param>
    /// <exception cref="LinuxException">The path is in use, or its directory is missing or not writable.</exception>
    public static UnixSocket Listen(string path, int backlog, bool ownerOnly = false)
    {
        const uint OwnersReadAndWrite = 0x180;
        UnixSocket socket = Create();
        try
        {
            if (ownerOnly)
            {
                // The mode of the socket, less the creation mask, becomes that of its file: there is no moment in which others may connect.
                Check(LibC.fchmod(socket.Number, (mode_t)OwnersReadAndWrite), "fchmod");
            }

            sockaddr_un address = AddressOf(path);
            Check(LibC.bind(socket.Number, (sockaddr*)&address, sizeof(sockaddr_un)), "bind", path);
            Check(LibC.listen(socket.Number, backlog), "listen", path);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Connects to a listening socket.</summary>
    /// <exception cref="LinuxException">Nobody listens there (ENOENT, ECONNREFUSED), or the backlog is full (EAGAIN).</exception>
    public static UnixSocket Connect(string path)
    {
        UnixSocket socket = Create();
        try
        {
            sockaddr_un address = AddressOf(path);
            Check(LibC.connect(socket.Number, (sockaddr*)&address, sizeof(sockaddr_un)), "connect", path);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Two sockets connected to each other, in blocking mode: one that is handed over may come to a program that waits in its calls.</summary>
    /// <exception cref="LinuxException">No descriptor is left.</exception>
    public static (UnixSocket First, UnixSocket Second) Pair()
    {
        int* pair = stackalloc int[2];
        Check(LibC.socketpair(LibC.AF_UNIX, LibC.SOCK_STREAM | LibC.SOCK_CLOEXEC, 0, pair), "socketpair");
        return (new UnixSocket(pair[0]), new UnixSocket(pair[1]));
    }

    /// <summary>Looks at a descriptor without taking it: whether it is a UNIX stream socket that is connected or listens.</summary>
    /// <returns>Null, or what it is instead: «is not open», ….</returns>
    public static string? FindMisfit(int fd)
    {
        if (LibC.fcntl(fd, LibC.F_GETFD) < 0)
        {
            return "is not open";
        }

        sockaddr_un peer;
        socklen_t length = sizeof(sockaddr_un);
        return !TryGetOption(fd, LibC.SO_DOMAIN, out int domain) ? "is not a socket"
            : domain != LibC.AF_UNIX ? "is not a UNIX socket"
            : TryGetOption(fd, LibC.SO_TYPE, out int type) && type != LibC.SOCK_STREAM ? "is not a stream socket"
            : TryGetOption(fd, LibC.SO_ACCEPTCONN, out int listens) && listens != 0 ? null
            : LibC.getpeername(fd, (sockaddr*)&peer, &length) < 0 ? "is neither connected nor listening"
            : null;
    }

    /// <summary>True when the socket listens rather than being connected.</summary>
    /// <exception cref="LinuxException">The descriptor is not a socket.</exception>
    public bool IsListening
    {
        get
        {
            int value = 0;
            socklen_t length = sizeof(int);
            Check(LibC.getsockopt(Number, LibC.SOL_SOCKET, LibC.SO_ACCEPTCONN, &value, &length), "getsockopt");
            return value != 0;
        }
    }

    /// <summary>Takes the next connection of a listening socket.</summary>
    /// <returns>Null when there is none, or the peer has gone again, or no descriptor is left for it.</returns>
    public UnixSocket? TryAccept()
    {
        int fd = LibC.accept4(Number, null, null, LibC.SOCK_CLOEXEC | LibC.SOCK_NONBLOCK);
        return fd < 0 ? null : new UnixSocket(fd);
    }

    /// <summary>Sends bytes, and <paramref name="descriptors"/> with the first of them.</summary>
    /// <returns>Bytes sent, at least one; or the negative error number, EAGAIN when the peer's buffer is full.</returns>
    public int TrySend(ReadOnlySpan<byte> bytes, ReadOnlySpan<FileDescriptor> descriptors = default)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(descriptors.Length, MaxDescriptors);
        byte* control = stackalloc byte[ControlBytes];
        fixed (byte* pointer = bytes)
        {
            iovec vector = default;
            vector.iov_base = pointer;
            vector.iov_len = (size_t)(ulong)bytes.Length;
            msghdr message = default;
            message.msg_iov = &vector;
            message.msg_iovlen = 1;
            if (!descriptors.IsEmpty)
            {
                // The length counts the aligned header and exactly these descriptors: a rounded one would announce one too many.
                *(ulong*)control = (ulong)(ControlHeaderBytes + (descriptors.Length * sizeof(int)));
                ((int*)control)[2] = LibC.SOL_SOCKET;
                ((int*)control)[3] = LibC.SCM_RIGHTS;
                for (int i = 0; i < descriptors.Length; i++)
                {
                    ((int*)(control + ControlHeaderBytes))[i] = descriptors[i].Number;
                }

                message.msg_control = control;
                message.msg_controllen = ControlHeaderBytes + (((descriptors.Length * sizeof(int)) + 7) & ~7);
            }

            while (true)
            {
                nint sent = (nint)(long)LibC.sendmsg(Number, &message, LibC.MSG_DONTWAIT | LibC.MSG_NOSIGNAL);
                if (sent >= 0)
                {
                    return (int)sent;
                }

                int errno = Errno.Last;
                if (errno != Errno.EINTR)
                {
                    return -errno;
                }
            }
        }
    }

    /// <summary>Receives up to <paramref name="buffer"/>'s length.</summary>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="descriptors">Descriptors that came along are added here, close-on-exec. Null where none may come.</param>
    /// <param name="lostDescriptors">True when the kernel closed descriptors for which there was no room.</param>
    /// <returns>Bytes received; 0 when the peer has closed; or the negative error number, EAGAIN when there is nothing yet.</returns>
    public int TryReceive(Span<byte> buffer, ICollection<FileDescriptor>? descriptors, out bool lostDescriptors)
    {
        byte* control = stackalloc byte[ControlBytes];
        fixed (byte* pointer = buffer)
        {
            iovec vector = default;
            vector.iov_base = pointer;
            vector.iov_len = (size_t)(ulong)buffer.Length;
            while (true)
            {
                msghdr message = default;
                message.msg_iov = &vector;
                message.msg_iovlen = 1;
                message.msg_control = descriptors is null ? null : control;
                message.msg_controllen = descriptors is null ? 0 : ControlBytes;
                nint received = (nint)(long)LibC.recvmsg(Number, &message, LibC.MSG_DONTWAIT | LibC.MSG_CMSG_CLOEXEC);
                if (received < 0)
                {
                    int errno = Errno.Last;
                    if (errno == Errno.EINTR)
                    {
                        continue;
                    }

                    lostDescriptors = false;
                    return -errno;
                }

                lostDescriptors = (message.msg_flags & LibC.MSG_CTRUNC) != 0;
                if (descriptors is not null)
                {
                    Collect(control, (long)(ulong)(uint)message.msg_controllen, descriptors);
                }

                return (int)received;
            }
        }
    }

    private static void Collect(byte* control, long controlBytes, ICollection<FileDescriptor> descriptors)
    {
        for (long offset = 0; offset + ControlHeaderBytes <= controlBytes;)
        {
            long length = *(long*)(control + offset);
            if (length < ControlHeaderBytes || length > controlBytes - offset)
            {
                return;
            }

            if (((int*)(control + offset))[2] == LibC.SOL_SOCKET && ((int*)(control + offset))[3] == LibC.SCM_RIGHTS)
            {
                for (long i = ControlHeaderBytes; i + sizeof(int) <= length; i += sizeof(int))
                {
                    descriptors.Add(new FileDescriptor(*(int*)(control + offset + i)));
                }
            }

            offset += (length + 7) & ~7L;
        }
    }

    private static bool TryGetOption(int fd, int option, out int value)
    {
        int result = 0;
        socklen_t length = sizeof(int);
        bool isSocket = LibC.getsockopt(fd, LibC.SOL_SOCKET, option, &result, &length) == 0;
        value = result;
        return isSocket;
    }

    private static UnixSocket Create() =>
        new(Check(LibC.socket(LibC.AF_UNIX, LibC.SOCK_STREAM | LibC.SOCK_CLOEXEC | LibC.SOCK_NONBLOCK, 0), "socket"));

    private static sockaddr_un AddressOf(string path)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(path);
        if (bytes.Length is 0 or > MaxPathBytes)
        {
            throw new LinuxException(Errno.EINVAL, $"a socket path has 1 to {MaxPathBytes} bytes, not {bytes.Length}:", path);
        }

        // struct sockaddr_un: u16 family, then 108 bytes of path.
        sockaddr_un address = default;
        byte* raw = (byte*)&address;
        *(ushort*)raw = (ushort)LibC.AF_UNIX;
        bytes.CopyTo(new Span<byte>(raw + sizeof(ushort), MaxPathBytes));
        return address;
    }
}
