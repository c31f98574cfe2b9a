using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>Error numbers of Linux on every architecture that .NET runs on, as compile-time constants.</summary>
public static class Errno
{
#pragma warning disable CS1591 // The names are errno(3)'s own.
    public const int EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, ENXIO = 6, E2BIG = 7, EBADF = 9, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EFAULT = 14,
        EBUSY = 16, EEXIST = 17, ENODEV = 19, ENOTDIR = 20, EISDIR = 21, EINVAL = 22, EMFILE = 24, ETXTBSY = 26, EFBIG = 27, ENOSPC = 28, ESPIPE = 29,
        EROFS = 30, EPIPE = 32, ERANGE = 34, ENOSYS = 38, EPROTO = 71, EBADMSG = 74, EBADFD = 77, EMSGSIZE = 90, EOPNOTSUPP = 95, EADDRINUSE = 98,
        ECONNRESET = 104, ENOBUFS = 105, ENOTCONN = 107, ETIMEDOUT = 110, ECONNREFUSED = 111, ECANCELED = 125;
#pragma warning restore CS1591

    /// <summary>The calling thread's errno. Must be the very next thing read after a failed call.</summary>
    /// <remarks>It is what the runtime saved right behind the call, so an import of our own needs <c>SetLastError = true</c>.</remarks>
    public static int Last => LibC.errno;

    /// <summary>The symbolic name of <paramref name="errno"/>, or its number where this table has no name.</summary>
    public static string NameOf(int errno) => errno switch
    {
        EPERM => nameof(EPERM),
        ENOENT => nameof(ENOENT),
        EINTR => nameof(EINTR),
        EIO => nameof(EIO),
        ENXIO => nameof(ENXIO),
        E2BIG => nameof(E2BIG),
        EBADF => nameof(EBADF),
        EAGAIN => nameof(EAGAIN),
        ENOMEM => nameof(ENOMEM),
        EACCES => nameof(EACCES),
        EFAULT => nameof(EFAULT),
        EBUSY => nameof(EBUSY),
        EEXIST => nameof(EEXIST),
        ENODEV => nameof(ENODEV),
        ENOTDIR => nameof(ENOTDIR),
        EISDIR => nameof(EISDIR),
        EINVAL => nameof(EINVAL),
        EMFILE => nameof(EMFILE),
        ETXTBSY => nameof(ETXTBSY),
        EFBIG => nameof(EFBIG),
        ENOSPC => nameof(ENOSPC),
        ESPIPE => nameof(ESPIPE),
        EROFS => nameof(EROFS),
        EPIPE => nameof(EPIPE),
        ERANGE => nameof(ERANGE),
        ENOSYS => nameof(ENOSYS),
        EPROTO => nameof(EPROTO),
        EBADMSG => nameof(EBADMSG),
        EBADFD => nameof(EBADFD),
        EMSGSIZE => nameof(EMSGSIZE),
        EOPNOTSUPP => nameof(EOPNOTSUPP),
        EADDRINUSE => nameof(EADDRINUSE),
        ECONNRESET => nameof(ECONNRESET),
        ENOBUFS => nameof(ENOBUFS),
        ENOTCONN => nameof(ENOTCONN),
        ETIMEDOUT => nameof(ETIMEDOUT),
        ECONNREFUSED => nameof(ECONNREFUSED),
        ECANCELED => nameof(ECANCELED),
        _ => $"errno {errno}",
    };

    /// <summary>The C library's sentence for <paramref name="errno"/>.</summary>
    public static string TextOf(int errno) => Marshal.GetPInvokeErrorMessage(errno);
}
