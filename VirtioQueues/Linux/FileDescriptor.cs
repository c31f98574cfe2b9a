using System.Diagnostics.CodeAnalysis;
using Microsoft.Win32.SafeHandles;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>One open file descriptor, closed exactly once. It moves between owners; it is never shared by number.</summary>
/// <remarks>Any thread. A worker holds one <see cref="System.Runtime.InteropServices.SafeHandle.DangerousAddRef"/> while it uses the raw number.</remarks>
public class FileDescriptor : SafeHandleMinusOneIsInvalid
{
    /// <summary>Takes ownership of <paramref name="fd"/>.</summary>
    public FileDescriptor(int fd)
        : base(ownsHandle: true) => SetHandle(fd);

    /// <summary>The raw number, valid while this object is neither closed nor collected.</summary>
    public int Number => (int)DangerousGetHandle();

    /// <summary>A second descriptor of the same open file, close-on-exec.</summary>
    /// <exception cref="LinuxException">No descriptor is left.</exception>
    public FileDescriptor Duplicate() => new(Check(LibC.fcntl(Number, LibC.F_DUPFD_CLOEXEC, 0), "fcntl"));

    /// <summary>Makes the open file non-blocking, for all who share it.</summary>
    /// <exception cref="LinuxException">The descriptor is closed.</exception>
    public void SetNonBlocking()
    {
        int flags = Check(LibC.fcntl(Number, LibC.F_GETFL), "fcntl");
        if ((flags & LibC.O_NONBLOCK) == 0)
        {
            Check(LibC.fcntl(Number, LibC.F_SETFL, flags | LibC.O_NONBLOCK), "fcntl");
        }
    }

    /// <summary>Returns <paramref name="result"/>, or throws for −1 with the thread's errno.</summary>
    /// <exception cref="LinuxException"><paramref name="result"/> is negative.</exception>
    public static int Check(int result, string call, string? path = null)
    {
        if (result < 0)
        {
            Throw(Errno.Last, call, path);
        }

        return result;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => LibC.close((int)handle) == 0;

    [DoesNotReturn]
    private static void Throw(int errno, string call, string? path) => throw new LinuxException(errno, call, path);
}
