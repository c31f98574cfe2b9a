using System.Diagnostics;
using System.Text;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Frontend;

/// <summary>The front-end's end of a vhost-user socket: bytes and descriptors, each call bounded by a deadline. Takes ownership of a connected socket.</summary>
/// <remarks>One thread at a time.</remarks>
internal sealed class FrontendSocket(UnixSocket connected) : IDisposable
{
    /// <summary>The raw number, for <c>poll</c>.</summary>
    public int Number => connected.Number;

    /// <summary>Connects to the listening socket at <paramref name="path"/>. Does not wait.</summary>
    /// <exception cref="FrontendException">Nothing listens there, or the path is too long; the message says which and what to do.</exception>
    public static UnixSocket Open(string path)
    {
        int pathBytes = Encoding.UTF8.GetByteCount(path);
        if (pathBytes > UnixSocket.MaxPathBytes)
        {
            throw new FrontendException($"socket path '{path}' is {pathBytes} bytes long: at most {UnixSocket.MaxPathBytes} fit a UNIX socket address");
        }

        try
        {
            return UnixSocket.Connect(path);
        }
        catch (LinuxException failure) when (failure.Call == "connect")
        {
            throw new FrontendException(
                failure.Errno switch
                {
                    Errno.ENOENT => $"no socket at '{path}': start the back-end first, with --socket-path={path}",
                    Errno.ECONNREFUSED when !SocketFile.IsAt(path) => $"'{path}' is not a socket: --socket-path=PATH of the back-end names it",
                    Errno.ECONNREFUSED => $"nobody listens at '{path}': its back-end has ended",
                    Errno.EACCES or Errno.EPERM => $"no permission to connect to '{path}'",
                    Errno.EAGAIN => $"the back-end at '{path}' does not accept connections: its queue is full",
                    _ => $"cannot connect to '{path}': {Errno.TextOf(failure.Errno)}",
                },
                failure);
        }
    }

    /// <summary>Sends all of <paramref name="message"/>; <paramref name="descriptors"/> travel with its first byte.</summary>
    /// <returns>False when the deadline (<see cref="Stopwatch"/> ticks) passed.</returns>
    /// <exception cref="LinuxException">The other end is closed (EPIPE, ECONNRESET).</exception>
    public bool TrySend(ReadOnlySpan<byte> message, ReadOnlySpan<FileDescriptor> descriptors, long deadline)
    {
        while (!message.IsEmpty)
        {
            int sent = connected.TrySend(message, descriptors);
            if (sent > 0)
            {
                message = message[sent..];
                descriptors = [];
            }
            else if (sent != -Errno.EAGAIN)
            {
                throw new LinuxException(-sent, "sendmsg");
            }
            else if (!Polling.WaitUntil(Number, LibC.POLLOUT, deadline))
            {
                return false;
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
        int count = connected.TryReceive(buffer, descriptors, out bool lostDescriptors);
        return lostDescriptors ? throw new FrontendException($"a message came with more than {UnixSocket.MaxDescriptors} descriptors")
            : count >= 0 ? count
            : count == -Errno.EAGAIN ? -1
            : throw new LinuxException(-count, "recvmsg");
    }

    /// <summary>Ends the stream to the other end, and waits until that has closed.</summary>
    /// <returns>False when the deadline (<see cref="Stopwatch"/> ticks) passed.</returns>
    public bool Leave(long deadline)
    {
        _ = LibC.shutdown(Number, LibC.SHUT_WR);
        return Polling.WaitUntil(Number, 0, deadline); // POLLHUP: both directions have ended
    }

    /// <inheritdoc/>
    public void Dispose() => connected.Dispose();
}
