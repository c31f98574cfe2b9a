using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Transport;

/// <summary>Whole messages over one connection: exact reads, so that descriptors stay with the message they came with.</summary>
/// <remarks>Session thread only. A peer that stalls in the middle of a message, or does not read its replies, is given up after a deadline.</remarks>
internal sealed class ControlSocket(UnixSocket socket, SessionWaiter waiter, TimeSpan deadline) : IDisposable
{
    /// <summary>The raw number, for the waits.</summary>
    public int Number => socket.Number;

    /// <summary>Receives one message, of which at least one byte is there.</summary>
    /// <returns><see cref="WaitResult.Ready"/>, <see cref="WaitResult.HungUp"/> or <see cref="WaitResult.Stopped"/>.</returns>
    /// <exception cref="VhostFramingException">The peer broke the framing, or stalled (threats M2–M6).</exception>
    public WaitResult Receive(Message message)
    {
        long until = SessionWaiter.DeadlineIn(deadline);
        Span<byte> header = stackalloc byte[MessageHeader.SizeInBytes];

        // Descriptors come with the first byte of the header, and with no other byte.
        WaitResult result = ReceiveExactly(header[..1], message.Descriptors, until);
        if (result == WaitResult.Ready)
        {
            result = ReceiveExactly(header[1..], message.Descriptors, until);
        }

        if (result != WaitResult.Ready)
        {
            return result;
        }

        message.Header = MemoryMarshal.Read<MessageHeader>(header);
        Check(message.Header);
        return ReceiveExactly(message.Payload, null, until);
    }

    /// <summary>Sends one message.</summary>
    /// <param name="header">Header.</param>
    /// <param name="payload">Payload.</param>
    /// <param name="descriptor">Goes along with the first byte; stays the caller's.</param>
    /// <returns>As <see cref="Receive"/>.</returns>
    /// <exception cref="VhostFramingException">The peer does not read (threats M18).</exception>
    public WaitResult Send(MessageHeader header, ReadOnlySpan<byte> payload, FileDescriptor? descriptor = null)
    {
        long until = SessionWaiter.DeadlineIn(deadline);
        Span<byte> bytes = stackalloc byte[MessageHeader.SizeInBytes + payload.Length];
        MemoryMarshal.Write(bytes, in header);
        payload.CopyTo(bytes[MessageHeader.SizeInBytes..]);
        while (!bytes.IsEmpty)
        {
            int sent = descriptor is null ? socket.TrySend(bytes) : socket.TrySend(bytes, [descriptor]);
            if (sent > 0)
            {
                bytes = bytes[sent..];
                descriptor = null;
                continue;
            }

            if (sent != -Errno.EAGAIN)
            {
                return WaitResult.HungUp;
            }

            WaitResult result = waiter.Wait(socket.Number, writable: true, until);
            if (result == WaitResult.Elapsed)
            {
                throw new VhostFramingException($"the reply to request {header.Request} was not read within {deadline.TotalSeconds} s");
            }

            if (result == WaitResult.Stopped)
            {
                return result;
            }
        }

        return WaitResult.Ready;
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();

    private static void Check(MessageHeader header)
    {
        if ((header.Flags & ~MessageFlags.NeedReply) != MessageFlags.Version1)
        {
            throw new VhostFramingException($"request {header.Request}: flags 0x{(uint)header.Flags:x} are not those of a version 1 request");
        }

        if (header.PayloadBytes > MessageHeader.MaxPayloadBytes)
        {
            throw new VhostFramingException($"request {header.Request}: a payload of {header.PayloadBytes} bytes is over {MessageHeader.MaxPayloadBytes}");
        }
    }

    private WaitResult ReceiveExactly(Span<byte> bytes, ReceivedDescriptors? descriptors, long until)
    {
        int wanted = bytes.Length;
        while (!bytes.IsEmpty)
        {
            int received = socket.TryReceive(bytes, descriptors?.Inbox, out bool lost);
            if (lost)
            {
                throw new VhostFramingException(
                    descriptors is null ? "descriptors came with a payload"
                    : descriptors.Count < MessageHeader.MaxDescriptors ? "descriptors that came with a message are lost: this process may not open so many files"
                    : $"more than {MessageHeader.MaxDescriptors} descriptors came with one message");
            }

            if (received > 0)
            {
                bytes = bytes[received..];
                continue;
            }

            if (received != -Errno.EAGAIN)
            {
                return WaitResult.HungUp;
            }

            WaitResult result = waiter.Wait(socket.Number, writable: false, until);
            if (result == WaitResult.Elapsed)
            {
                throw new VhostFramingException($"the peer stalled for {deadline.TotalSeconds} s, {bytes.Length} of {wanted} bytes short");
            }

            if (result == WaitResult.Stopped)
            {
                return result;
            }
        }

        return WaitResult.Ready;
    }
}
