using System.Text;
using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Transport;

/// <summary>Where connections come from: a listening path, a path to connect to, or an inherited socket.</summary>
/// <remarks>Session thread, except for construction.</remarks>
internal sealed class ServerEndpoint : IDisposable
{
    private const int Backlog = 16;
    private static readonly TimeSpan s_firstRetry = TimeSpan.FromMilliseconds(20);

    private readonly VhostServerOptions _options;
    private readonly SocketFile? _socketFile;
    private UnixSocket? _connected;

    /// <summary>Opens the endpoint; a client connects later, for ever.</summary>
    /// <exception cref="UsageException">The options contradict each other, or a descriptor is not a socket.</exception>
    /// <exception cref="StartException">The path is in use, or cannot be bound.</exception>
    public ServerEndpoint(VhostServerOptions options)
    {
        Check(options);
        _options = options;
        if (options.InheritedDescriptor is { } fd)
        {
            var socket = new UnixSocket(fd);
            socket.SetNonBlocking(); // a connection that vanishes between poll and accept must not hold the thread
            (Listener, _connected) = socket.IsListening ? (socket, null) : ((UnixSocket?)null, socket);
        }
        else if (!options.Client)
        {
            _socketFile = Listen(options.SocketPath!);
            Listener = _socketFile.Listener;
        }
    }

    /// <summary>The listening socket, or null.</summary>
    public UnixSocket? Listener { get; }

    /// <summary>Everything that can be said of the options without opening anything.</summary>
    /// <exception cref="UsageException">They contradict each other, the path is too long, or the descriptor is no socket to serve on.</exception>
    public static void Check(VhostServerOptions options)
    {
        if (options.SocketPath is null == options.InheritedDescriptor is null || (options.Client && options.SocketPath is null))
        {
            throw new UsageException("give one of --socket-path and --fd; --client goes with --socket-path");
        }

        if (options.InheritedDescriptor is { } fd && UnixSocket.FindMisfit(fd) is { } misfit)
        {
            throw new UsageException($"--fd={fd}: {misfit}; give the number of an open UNIX stream socket, connected or listening");
        }

        if (options.SocketPath is { } path && Encoding.UTF8.GetByteCount(path) is var bytes and (0 or > UnixSocket.MaxPathBytes))
        {
            throw new UsageException($"--socket-path={path}: a socket path has 1 to {UnixSocket.MaxPathBytes} bytes, not {bytes}");
        }
    }

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
        _socketFile?.Dispose();
        Listener?.Dispose();
    }

    private static SocketFile Listen(string path)
    {
        try
        {
            return SocketFile.Listen(path, Backlog);
        }
        catch (SocketInUseException failure)
        {
            throw new StartException($"{failure.Message} or choose another --socket-path");
        }
        catch (LinuxException failure)
        {
            throw new StartException($"cannot listen: {failure.Message}");
        }
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
}
