using System.Text;
using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.VhostServer.Transport;

/// <summary>Where connections come from: a listening path, a path to connect to, or an inherited socket.</summary>
/// <remarks>Session thread, except for construction.</remarks>
internal sealed unsafe class ServerEndpoint : IDisposable
{
    private const int Backlog = 16;
    private static readonly TimeSpan s_firstRetry = TimeSpan.FromMilliseconds(20);

    private readonly VhostServerOptions _options;
    private readonly (ulong Device, ulong Inode) _socketFile;
    private UnixSocket? _connected;

    /// <summary>Opens the endpoint; a client connects later, for ever.</summary>
    /// <exception cref="UsageException">The options contradict each other, or a descriptor is not a socket.</exception>
    /// <exception cref="StartException">The path is in use, or cannot be bound.</exception>
    public ServerEndpoint(VhostServerOptions options)
    {
        _options = options;
        if (options.SocketPath is null == options.InheritedDescriptor is null || (options.Client && options.SocketPath is null))
        {
            throw new UsageException("give one of --socket-path and --fd; --client goes with --socket-path");
        }

        if (options.InheritedDescriptor is { } fd)
        {
            UnixSocket socket = Inherit(fd);
            (Listener, _connected) = socket.IsListening ? (socket, null) : ((UnixSocket?)null, socket);
            return;
        }

        string path = options.SocketPath!;
        int bytes = Encoding.UTF8.GetByteCount(path);
        if (bytes is 0 or > UnixSocket.MaxPathBytes)
        {
            throw new UsageException($"--socket-path={path}: a socket path has 1 to {UnixSocket.MaxPathBytes} bytes, not {bytes}");
        }

        if (!options.Client)
        {
            Listener = Listen(path);
            _socketFile = IdentityOf(path);
        }
    }

    /// <summary>The listening socket, or null.</summary>
    public UnixSocket? Listener { get; }

    /// <summary>The next connection, however long it takes.</summary>
    /// <returns>Null when there will be none: the server stops, or the one inherited connection was served.</returns>
    public UnixSocket? Next(SessionWaiter waiter)
    {
        if (_options.Client)
        {
            return Connect(waiter);
        }

        while (Listener is not null)
        {
            if (waiter.Wait(Listener.Number, writable: false, SessionWaiter.Never) == WaitResult.Stopped)
            {
                return null;
            }

            if (Listener.TryAccept() is { } connection)
            {
                return connection;
            }

            // Out of descriptors, or the peer has gone again: not in a tight loop.
            if (waiter.Wait(-1, writable: false, SessionWaiter.DeadlineIn(s_firstRetry)) == WaitResult.Stopped)
            {
                return null;
            }
        }

        UnixSocket? only = _connected;
        _connected = null;
        return waiter.StopRequested ? null : only;
    }

    /// <summary>Closes the socket, and removes its file if it is still the one that was made here.</summary>
    public void Dispose()
    {
        _connected?.Dispose();
        if (Listener is null)
        {
            return;
        }

        if (_options.SocketPath is { } path && IdentityOf(path) == _socketFile)
        {
            File.Delete(path);
        }

        Listener.Dispose();
    }

    private static UnixSocket Inherit(int fd)
    {
        try
        {
            var socket = new UnixSocket(fd);
            if (FileStatus.Of(socket).IsSocket)
            {
                socket.SetNonBlocking(); // a connection that vanishes between poll and accept must not hold the thread
                return socket;
            }

            socket.SetHandleAsInvalid();
        }
        catch (LinuxException)
        {
            // Not open at all: the same answer.
        }

        throw new UsageException($"--fd={fd}: give the number of an open UNIX stream socket, connected or listening");
    }

    private static UnixSocket Listen(string path)
    {
        try
        {
            return UnixSocket.Listen(path, Backlog);
        }
        catch (LinuxException failure) when (failure.Errno == Errno.EADDRINUSE)
        {
            RemoveIfStale(path);
        }
        catch (LinuxException failure)
        {
            throw new StartException($"cannot listen: {failure.Message}");
        }

        try
        {
            return UnixSocket.Listen(path, Backlog);
        }
        catch (LinuxException failure)
        {
            throw new StartException($"cannot listen: {failure.Message}");
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
            throw new StartException($"'{path}' exists and is no stale socket ({failure.Message}): remove it or choose another --socket-path");
        }

        throw new StartException($"'{path}' is in use by a running process: stop it or choose another --socket-path");
    }

    private UnixSocket? Connect(SessionWaiter waiter)
    {
        TimeSpan pause = s_firstRetry;
        while (!waiter.StopRequested)
        {
            try
            {
                return UnixSocket.Connect(_options.SocketPath!);
            }
            catch (LinuxException)
            {
                // Nobody there yet. No timer gives up: the front-end may be away for long (threats I5).
            }

            if (waiter.Wait(-1, writable: false, SessionWaiter.DeadlineIn(pause)) == WaitResult.Stopped)
            {
                break;
            }

            pause = pause * 2 < _options.RetryInterval ? pause * 2 : _options.RetryInterval;
        }

        return null;
    }

    private static bool IsSocket(string path) => TryStat(path, out stat status) && ((uint)status.st_mode & 0xf000) == 0xc000;

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
