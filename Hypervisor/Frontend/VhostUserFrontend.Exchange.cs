using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Frontend;

/// <content>Requests and replies: exactly one of each under way, every wait bounded.</content>
public sealed partial class VhostUserFrontend
{
    private readonly List<FileDescriptor> _received = [];
    private string? _givenUp;

    /// <summary>The end of every wait, besides the limit of each, in <see cref="Stopwatch"/> ticks: bounds a row of requests as a whole.</summary>
    internal long Deadline { get; set; } = long.MaxValue;

    /// <summary>Sends a request and, with REPLY_ACK, waits for the word that it was done.</summary>
    private void Command(FrontendRequest request, ReadOnlySpan<byte> payload, params ReadOnlySpan<FileDescriptor> descriptors) =>
        Command(request, payload, descriptors, _options.ReplyTimeout);

    private void Command(FrontendRequest request, ReadOnlySpan<byte> payload, ReadOnlySpan<FileDescriptor> descriptors, TimeSpan timeout)
    {
        bool acknowledged = Has(ProtocolFeatures.ReplyAck);
        Send(request, payload, descriptors, acknowledged);
        if (acknowledged)
        {
            ulong answer = MemoryMarshal.Read<ulong>(ReceiveReply(request, sizeof(ulong), orEmpty: false, timeout));
            if (answer != 0)
            {
                throw new FrontendException($"{RequestName.Of(request)}: the back-end refused it (answer {answer})");
            }
        }
    }

    private void Command<T>(FrontendRequest request, T payload, params ReadOnlySpan<FileDescriptor> descriptors)
        where T : unmanaged => Command(request, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in payload)), descriptors);

    /// <summary>Sends a request without payload and reads the number it is answered with.</summary>
    private ulong Ask(FrontendRequest request) => Ask(request, _options.ReplyTimeout);

    private ulong Ask(FrontendRequest request, TimeSpan timeout)
    {
        Send(request, [], [], needReply: false);
        return MemoryMarshal.Read<ulong>(ReceiveReply(request, sizeof(ulong), orEmpty: false, timeout));
    }

    private void Send(FrontendRequest request, ReadOnlySpan<byte> payload, ReadOnlySpan<FileDescriptor> descriptors, bool needReply)
    {
        if (_givenUp is not null)
        {
            throw new FrontendException($"{RequestName.Of(request)}: not sent, the connection was given up: {_givenUp}");
        }

        byte[] message = new byte[MessageHeader.SizeInBytes + payload.Length];
        MessageFlags flags = MessageFlags.Version1 | (needReply ? MessageFlags.NeedReply : MessageFlags.None);
        MemoryMarshal.Write(message, new MessageHeader((uint)request, flags, (uint)payload.Length));
        payload.CopyTo(message.AsSpan(MessageHeader.SizeInBytes));
        TimeSpan limit = Bounded(_options.ReplyTimeout);
        try
        {
            if (!_socket.TrySend(message, descriptors, DeadlineIn(limit)))
            {
                throw GiveUp($"{RequestName.Of(request)}: not sent, the back-end reads nothing ({Words(limit)})");
            }
        }
        catch (LinuxException failure)
        {
            throw GiveUp($"{RequestName.Of(request)}: the back-end closed the connection", failure);
        }
    }

    /// <summary>Reads the reply to <paramref name="request"/>: this request, the reply flags, this length, in time, and no descriptors but those that may come.</summary>
    private byte[] ReceiveReply(FrontendRequest request, int lengthBytes, bool orEmpty, TimeSpan timeout, int maxDescriptors = 0)
    {
        timeout = Bounded(timeout);
        long deadline = DeadlineIn(timeout);
        Span<byte> raw = stackalloc byte[MessageHeader.SizeInBytes];
        ReceiveExactly(request, raw, deadline, timeout, maxDescriptors);
        MessageHeader header = MemoryMarshal.Read<MessageHeader>(raw);
        if (header.Request != (uint)request)
        {
            throw GiveUp($"{RequestName.Of(request)}: answered with a reply to request {header.Request}");
        }

        if (header.Flags != MessageFlags.ReplyOfVersion1)
        {
            throw GiveUp($"{RequestName.Of(request)}: flags of the reply are 0x{(uint)header.Flags:x}, not 0x{(uint)MessageFlags.ReplyOfVersion1:x}");
        }

        if (header.PayloadBytes != lengthBytes && !(orEmpty && header.PayloadBytes == 0))
        {
            throw GiveUp($"{RequestName.Of(request)}: the reply holds {header.PayloadBytes} bytes in place of {lengthBytes}");
        }

        byte[] payload = new byte[header.PayloadBytes];
        ReceiveExactly(request, payload, deadline, timeout, maxDescriptors);
        return payload;
    }

    private unsafe void ReceiveExactly(FrontendRequest request, Span<byte> buffer, long deadline, TimeSpan timeout, int maxDescriptors)
    {
        pollfd* entries = stackalloc pollfd[2];
        while (!buffer.IsEmpty)
        {
            int count;
            try
            {
                count = _socket.TryReceive(buffer, _received);
            }
            catch (IOException failure)
            {
                throw GiveUp($"{RequestName.Of(request)}: {failure.Message}{Hint(request)}", failure);
            }

            if (_received.Count > maxDescriptors)
            {
                throw GiveUp($"{RequestName.Of(request)}: {_received.Count} descriptors came with the reply, which carries {(maxDescriptors == 0 ? "none" : $"at most {maxDescriptors}")}");
            }

            if (count == 0)
            {
                throw GiveUp($"{RequestName.Of(request)}: the back-end closed the connection in place of an answer{Hint(request)}");
            }

            if (count > 0)
            {
                buffer = buffer[count..];
                continue;
            }

            // The back-end may wait for us on its own channel before it answers: serve both.
            entries[0].fd = _socket.Number;
            entries[0].events = LibC.POLLIN;
            entries[0].revents = 0;
            entries[1].fd = _backend?.Number ?? -1;
            entries[1].events = LibC.POLLIN;
            entries[1].revents = 0;
            bool isReady = Polling.WaitUntil(entries, 2, deadline);
            if (!isReady || (entries[0].revents == 0 && Stopwatch.GetTimestamp() >= deadline)) // one that only talks on its own channel does not answer
            {
                throw GiveUp($"{RequestName.Of(request)}: no answer within {Words(timeout)}{Hint(request)}");
            }

            if (entries[1].revents != 0)
            {
                ServeBackendChannel();
            }
        }
    }

    /// <summary>Ends the connection for good; the back-end is not trusted any more.</summary>
    [SuppressMessage("Performance", "CA1859:Use concrete types when possible for improved performance", Justification = "Thrown at once.")]
    private FrontendException GiveUp(string reason, Exception? inner = null)
    {
        _givenUp ??= reason;
        foreach (FileDescriptor descriptor in _received)
        {
            descriptor.Dispose();
        }

        _received.Clear();
        return new FrontendException(reason, inner);
    }

    /// <summary>As much of <paramref name="limit"/> as <see cref="Deadline"/> leaves.</summary>
    private TimeSpan Bounded(TimeSpan limit)
    {
        TimeSpan left = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), Deadline);
        return left >= limit ? limit : left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    /// <summary>What it means when even the first question is not answered by somebody whom others have started.</summary>
    private string Hint(FrontendRequest request) =>
        request == FrontendRequest.GetFeatures && _options.StartTimeout is null ? ": it does not speak vhost-user, or serves another front-end" : string.Empty;

    private static long DeadlineIn(TimeSpan time) => Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);

    private static string Words(TimeSpan time) => time.TotalSeconds >= 1 ? $"{time.TotalSeconds:0.#} s" : $"{time.TotalMilliseconds:0} ms";
}
