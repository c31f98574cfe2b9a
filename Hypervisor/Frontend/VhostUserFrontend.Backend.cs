using System.Diagnostics;
using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Frontend;

/// <content>The back-end's own channel (vhost-user: SET_BACKEND_REQ_FD), and watching over an idle connection.</content>
public sealed partial class VhostUserFrontend
{
    /// <summary>Back-end messages handled per visit; a flood waits, it does not starve the front-end (threats H2).</summary>
    private const int MaxBackendMessages = 64;

    /// <summary>Requests that a back-end may send on its own channel in a second. An honest one sends a few in a lifetime (threats H2).</summary>
    private const int MaxBackendMessagesPerSecond = 1000;

    /// <summary>Largest payload of a request that this front-end answers, by refusing it.</summary>
    private const int MaxBackendPayloadBytes = 64;

    private readonly byte[] _backendMessage = new byte[MessageHeader.SizeInBytes + MaxBackendPayloadBytes];
    private FrontendSocket? _backend;
    private int _backendBytes;
    private long _secondEnds; // the one in which _inSecond came
    private int _inSecond;

    /// <summary>Raised when the device changed its config space, inside <see cref="Serve"/> or while a request waits for its answer.</summary>
    public event Action? ConfigChanged;

    /// <summary>False once the connection was given up: the back-end left, or broke the protocol. A refusal does not end it.</summary>
    public bool IsUsable => _givenUp is null;

    /// <summary>The socket, for <c>poll</c> together with other descriptors; what it says is <see cref="Serve"/>'s affair.</summary>
    internal int SocketNumber => _socket.Number;

    /// <summary>The back-end's own channel, for <c>poll</c>; −1 when there is none.</summary>
    internal int ChannelNumber => _backend?.Number ?? -1;

    /// <summary>Waits up to <paramref name="timeout"/> and serves what the back-end asks for.</summary>
    /// <exception cref="FrontendException">The back-end left, or broke the protocol.</exception>
    public unsafe void Serve(TimeSpan timeout)
    {
        if (_givenUp is not null)
        {
            throw new FrontendException(_givenUp);
        }

        pollfd* entries = stackalloc pollfd[2];
        entries[0].fd = _socket.Number;
        entries[0].events = LibC.POLLIN;
        entries[0].revents = 0;
        entries[1].fd = _backend?.Number ?? -1;
        entries[1].events = LibC.POLLIN;
        entries[1].revents = 0;
        if (!Polling.WaitUntil(entries, 2, DeadlineIn(timeout)))
        {
            return;
        }

        if (entries[1].revents != 0)
        {
            ServeBackendChannel();
        }

        if (entries[0].revents != 0)
        {
            Span<byte> probe = stackalloc byte[MessageHeader.SizeInBytes];
            int count;
            try
            {
                count = _socket.TryReceive(probe, _received);
            }
            catch (IOException)
            {
                count = 0;
            }

            if (count >= 0)
            {
                throw GiveUp(count == 0 ? "the back-end closed the connection" : "the back-end sent a reply that nobody asked for");
            }
        }
    }

    /// <summary>Gives the connection up in order: says that no more requests come, and waits for the other end to settle its work and close.</summary>
    /// <param name="limit">Longest wait. A shutdown of the socket ends it.</param>
    /// <returns>True when the other end has closed.</returns>
    public bool Leave(TimeSpan limit)
    {
        _givenUp ??= "the connection was left";
        _backend?.Dispose(); // it may wait for a word there
        _backend = null;
        return _socket.Leave(DeadlineIn(limit));
    }

    private void OpenBackendChannel()
    {
        (UnixSocket ours, UnixSocket theirs) = UnixSocket.Pair();
        _backend = new FrontendSocket(ours);
        using (theirs)
        {
            Command(FrontendRequest.SetBackendReqFd, ReadOnlySpan<byte>.Empty, theirs);
        }
    }

    private void ServeBackendChannel()
    {
        for (int i = 0; i < MaxBackendMessages && _backend is not null; i++)
        {
            if (!TryReadBackendMessage(out MessageHeader header))
            {
                return;
            }

            LimitRate();

            // Only changes of the config space are of interest; all else was not negotiated and is refused, when a word is wanted.
            bool known = header.Request == (uint)BackendRequest.ConfigChangeMsg && Has(ProtocolFeatures.Config) && header.PayloadBytes == 0;
            if ((header.Flags & MessageFlags.NeedReply) != 0 && Has(ProtocolFeatures.ReplyAck))
            {
                byte[] reply = new byte[MessageHeader.SizeInBytes + sizeof(ulong)];
                MemoryMarshal.Write(reply, new MessageHeader(header.Request, MessageFlags.ReplyOfVersion1, sizeof(ulong)));
                MemoryMarshal.Write(reply.AsSpan(MessageHeader.SizeInBytes), known ? 0UL : 1UL);
                if (!_backend.TrySend(reply, [], DeadlineIn(Bounded(_options.ReplyTimeout))))
                {
                    throw GiveUp("the back-end reads no answers on its own channel");
                }
            }

            if (known)
            {
                ConfigChanged?.Invoke();
            }
        }
    }

    /// <summary>Each message costs a little, also while an answer is awaited.</summary>
    private void LimitRate()
    {
        long now = Stopwatch.GetTimestamp();
        if (now >= _secondEnds)
        {
            _secondEnds = now + Stopwatch.Frequency;
            _inSecond = 0;
        }

        if (++_inSecond > MaxBackendMessagesPerSecond)
        {
            throw GiveUp($"more than {MaxBackendMessagesPerSecond} requests a second came on the back-end's own channel");
        }
    }

    /// <summary>Goes on reading the current message; it may come in pieces.</summary>
    private bool TryReadBackendMessage(out MessageHeader header)
    {
        header = default;
        while (true)
        {
            int wanted = MessageHeader.SizeInBytes;
            if (_backendBytes >= MessageHeader.SizeInBytes)
            {
                header = MemoryMarshal.Read<MessageHeader>(_backendMessage);
                if (header.PayloadBytes > MaxBackendPayloadBytes || (header.Flags & (MessageFlags.VersionMask | MessageFlags.Reply)) != MessageFlags.Version1)
                {
                    throw GiveUp($"back-end request {header.Request}: {header.PayloadBytes} bytes with flags 0x{(uint)header.Flags:x} are not legal");
                }

                wanted += (int)header.PayloadBytes;
                if (_backendBytes == wanted)
                {
                    _backendBytes = 0;
                    return true;
                }
            }

            int count;
            try
            {
                count = _backend!.TryReceive(_backendMessage.AsSpan(_backendBytes, wanted - _backendBytes), _received);
            }
            catch (IOException failure)
            {
                throw GiveUp($"back-end channel: {failure.Message}", failure);
            }

            if (_received.Count > 0)
            {
                throw GiveUp("a back-end request carries descriptors, which was not negotiated");
            }

            if (count <= 0)
            {
                if (count == 0)
                {
                    _backend.Dispose();
                    _backend = null;
                }

                return false;
            }

            _backendBytes += count;
        }
    }
}
