using System.Text;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>A listening socket with a name in the file system: a stale one of a dead process is replaced, a live one is not, and it goes away with its owner.</summary>
/// <remarks>One thread.</remarks>
public sealed unsafe class SocketFile : IDisposable
{
    private const int TurnAttempts = 1000;

    private readonly string _path;
    private readonly (ulong Device, ulong Inode) _identity;

    private SocketFile(string path, UnixSocket listener)
    {
        _path = path;
        _identity = IdentityOf(path);
        Listener = listener;
    }

    /// <summary>The listening socket, non-blocking.</summary>
    public UnixSocket Listener { get; }

    /// <summary>Listens at <paramref name="path"/>.</summary>
    /// <param name="path">At most <see cref="UnixSocket.MaxPathBytes"/> bytes.</param>
    /// <param name="backlog">Connections that may wait.</param>
    /// <param name="ownerOnly">Nobody but the user (and root) may connect, whatever the file mode creation mask says.</param>
    /// <exception cref="SocketInUseException">A running process listens there, or there is something else than a socket.</exception>
    /// <exception cref="LinuxException">It cannot be made.</exception>
    public static SocketFile Listen(string path, int backlog, bool ownerOnly = false)
    {
        using FileDescriptor? turn = TakeTurn(path);
        UnixSocket listener;
        try
        {
            listener = UnixSocket.Listen(path, backlog, ownerOnly);
        }
        catch (LinuxException failure) when (failure.Errno == Errno.EADDRINUSE)
        {
            RemoveIfStale(path);
            listener = UnixSocket.Listen(path, backlog, ownerOnly);
        }

        return new SocketFile(path, listener);
    }

    /// <summary>True when <paramref name="path"/> leads to a socket, whether or not somebody listens there.</summary>
    public static bool IsAt(string path)
    {
        stat result;
        fixed (byte* pointer = Encoding.UTF8.GetBytes(path + "\0"))
        {
            return LibC.stat(pointer, &result) == 0 && IsSocket(result);
        }
    }

    /// <summary>Closes the socket, and removes its file if it is still the one that was made here.</summary>
    public void Dispose()
    {
        if (IdentityOf(_path) == _identity)
        {
            File.Delete(_path);
        }

        Listener.Dispose();
    }

    /// <summary>
    /// Starters in one directory make their sockets one after the other: between <c>bind</c> and <c>listen</c> a socket looks like one that a dead process left, and
    /// between the look and the removal it may have become another's.
    /// </summary>
    /// <returns>To be closed when the socket listens; null where the directory cannot be locked.</returns>
    private static FileDescriptor? TakeTurn(string path)
    {
        const int Exclusive = 2, NonBlocking = 4;  // LOCK_EX, LOCK_NB
        byte[] directory = Encoding.UTF8.GetBytes((Path.GetDirectoryName(path) is { Length: > 0 } name ? name : path.StartsWith('/') ? "/" : ".") + "\0");
        fixed (byte* pointer = directory)
        {
            int fd = LibC.open(pointer, LibC.O_RDONLY | LibC.O_DIRECTORY | LibC.O_CLOEXEC);
            if (fd < 0)
            {
                return null; // bind says what is wrong, if anything is
            }

            var turn = new FileDescriptor(fd);
            for (int i = 0; i < TurnAttempts && Native.FileLock(fd, Exclusive | NonBlocking) < 0; i++)
            {
                Thread.Sleep(1); // nobody holds it for longer; somebody else's lock of it is not waited for without end
            }

            return turn;
        }
    }

    private static void RemoveIfStale(string path)
    {
        try
        {
            UnixSocket.Connect(path).Dispose();
        }
        catch (LinuxException failure) when (failure.Errno == Errno.ECONNREFUSED && IsSocket(path))
        {
            File.Delete(path); // nobody listens: its process has died
            return;
        }
        catch (LinuxException failure) when (failure.Errno == Errno.ENOENT)
        {
            return;
        }
        catch (LinuxException failure) when (failure.Errno == Errno.EAGAIN)
        {
            // Its backlog is full, so somebody listens.
        }
        catch (LinuxException failure)
        {
            throw new SocketInUseException($"'{path}' exists and is no stale socket ({failure.Message}): remove it");
        }

        throw new SocketInUseException($"'{path}' is in use by a running process: stop it");
    }

    private static bool IsSocket(string path) => TryStat(path, out stat status) && IsSocket(status);

    private static bool IsSocket(stat status) => ((uint)status.st_mode & 0xf000) == 0xc000; // S_IFSOCK

    private static (ulong Device, ulong Inode) IdentityOf(string path) =>
        TryStat(path, out stat status) ? ((ulong)status.st_dev, (ulong)status.st_ino) : default;

    private static bool TryStat(string path, out stat status)
    {
        stat result;
        byte[] name = Encoding.UTF8.GetBytes(path + "\0");
        fixed (byte* pointer = name)
        {
            bool exists = LibC.lstat(pointer, &result) == 0;
            status = result;
            return exists;
        }
    }
}
