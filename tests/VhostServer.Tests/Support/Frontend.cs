using System.Diagnostics;
using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>A front-end that can send anything: whole messages, pieces of them, any descriptors.</summary>
internal sealed unsafe class Frontend(UnixSocket socket) : IDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    public UnixSocket Socket { get; } = socket;

    public static byte[] Bytes<T>(T value)
        where T : unmanaged => MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)).ToArray();

    public static byte[] Encode(FrontendRequest request, ReadOnlySpan<byte> payload, bool needReply = false, uint? size = null, uint? flags = null) =>
        [.. Bytes(new MessageHeader((uint)request, (MessageFlags)(flags ?? (needReply ? 9u : 1u)), size ?? (uint)payload.Length)), .. payload];

    public void Send(FrontendRequest request, ReadOnlySpan<byte> payload, bool needReply = false, params ReadOnlySpan<FileDescriptor> descriptors) =>
        SendRaw(Encode(request, payload, needReply), descriptors);

    public void Send<T>(FrontendRequest request, T payload, bool needReply = false, params ReadOnlySpan<FileDescriptor> descriptors)
        where T : unmanaged => Send(request, Bytes(payload), needReply, descriptors);

    /// <summary>Sends, waiting for room. A server that closed already is no error: the test looks at what it reads.</summary>
    public void SendRaw(ReadOnlySpan<byte> bytes, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        var clock = Stopwatch.StartNew();
        while (!bytes.IsEmpty)
        {
            int sent = Socket.TrySend(bytes, descriptors);
            if (sent > 0)
            {
                bytes = bytes[sent..];
                descriptors = [];
            }
            else if (sent != -Errno.EAGAIN)
            {
                return;
            }
            else
            {
                Assert.True(clock.Elapsed < Patience, "the server does not read");
                Poll(LibC.POLLOUT, 100);
            }
        }
    }

    /// <summary>The next reply, or null when the server closed the connection.</summary>
    /// <param name="descriptors">Gets those that come along; null: none may.</param>
    public Reply? Receive(List<FileDescriptor>? descriptors = null)
    {
        byte[]? header = ReceiveExactly(MessageHeader.SizeInBytes, descriptors);
        if (header is null)
        {
            return null;
        }

        MessageHeader parsed = MemoryMarshal.Read<MessageHeader>(header);
        byte[]? payload = ReceiveExactly((int)parsed.PayloadBytes);
        return payload is null ? null : new Reply((FrontendRequest)parsed.Request, parsed.Flags, payload);
    }

    public Reply Ask(FrontendRequest request, ReadOnlySpan<byte> payload = default)
    {
        Send(request, payload);
        Reply? reply = Receive();
        Assert.NotNull(reply);
        Assert.Equal(request, reply.Request);
        Assert.Equal(MessageFlags.ReplyOfVersion1, reply.Flags);
        return reply;
    }

    /// <summary>The acknowledgement of a request that asks for one: true is 0.</summary>
    public bool Try(FrontendRequest request, ReadOnlySpan<byte> payload = default, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        Send(request, payload, needReply: true, descriptors);
        Reply? reply = Receive();
        Assert.True(reply is not null, $"{request}: the server closed the connection");
        Assert.Equal(request, reply.Request);
        Assert.Equal(MessageFlags.ReplyOfVersion1, reply.Flags);
        Assert.Equal(8, reply.Payload.Length);
        return reply.Word == 0;
    }

    public bool Try<T>(FrontendRequest request, T payload, params ReadOnlySpan<FileDescriptor> descriptors)
        where T : unmanaged => Try(request, Bytes(payload), descriptors);

    /// <summary>True when the server closes without sending anything.</summary>
    public bool IsClosed() => Receive() is null;

    /// <summary>True when the server answers: it is alive and has served all before.</summary>
    public bool IsServed() => Ask(FrontendRequest.GetFeatures).Payload.Length == 8;

    public void Negotiate(ulong features, ProtocolFeatures protocol)
    {
        Send(FrontendRequest.SetProtocolFeatures, (ulong)(protocol | ProtocolFeatures.ReplyAck));
        Assert.True(Try(FrontendRequest.SetFeatures, features));
    }

    public void Dispose() => Socket.Dispose();

    private byte[]? ReceiveExactly(int count, List<FileDescriptor>? descriptors = null)
    {
        var clock = Stopwatch.StartNew();
        byte[] bytes = new byte[count];
        int have = 0;
        while (have < count)
        {
            int received = Socket.TryReceive(bytes.AsSpan(have), descriptors, out _);
            if (received > 0)
            {
                have += received;
            }
            else if (received != -Errno.EAGAIN)
            {
                return null;
            }
            else
            {
                Assert.True(clock.Elapsed < Patience, "no answer, and no end of the connection");
                Poll(LibC.POLLIN, 100);
            }
        }

        return bytes;
    }

    private void Poll(int interest, int milliseconds)
    {
        var entry = new pollfd { fd = Socket.Number, events = (short)interest };
        _ = LibC.poll(&entry, 1, milliseconds);
    }
}
