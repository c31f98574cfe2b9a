using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Frontend;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Frontend;

/// <summary>The other end of the socket: answers like a decent back-end unless the script says otherwise, and remembers what it got.</summary>
internal sealed class ScriptedBackEnd : IDisposable
{
    public const ulong DefaultFeatures = VirtioFeatures.Version1 | VirtioFeatures.ProtocolFeatures | VirtioFeatures.EventIdx;

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    private readonly FrontendSocket _socket;
    private readonly Thread _thread;
    private readonly Func<Received, Answer?> _script;
    private readonly ConcurrentQueue<Received> _received = new();
    private volatile bool _stop;
    private FrontendSocket? _channel;

    public ScriptedBackEnd(Func<Received, Answer?>? script = null)
    {
        (FrontendEnd, UnixSocket end) = UnixSocket.Pair();
        _socket = new FrontendSocket(end);
        _script = script ?? (_ => null);
        _thread = new Thread(Run) { IsBackground = true, Name = "scripted" };
        _thread.Start();
    }

    public UnixSocket FrontendEnd { get; }

    public ulong Features { get; init; } = DefaultFeatures;

    public ProtocolFeatures ProtocolFeatures { get; init; }

    /// <summary>Sees each message's descriptors before they are closed.</summary>
    public Action<Received, IReadOnlyList<FileDescriptor>>? Observe { get; init; }

    /// <summary>What it does before it closes, when the front-end has ended the stream.</summary>
    public Action? AtEnd { get; init; }

    public IReadOnlyList<Received> Received => [.. _received];

    public VhostUserFrontend Connect(TimeSpan? patience = null, ProtocolFeatures accept = FrontendOptions.Untracked) =>
        VhostUserFrontend.Attach(FrontendEnd, new FrontendOptions { ReplyTimeout = patience ?? s_limit, ProtocolFeatures = accept });

    /// <summary>Sends bytes on the back-end's own channel, which the front-end handed over.</summary>
    public void SendOnChannel(uint request, MessageFlags flags, ReadOnlySpan<byte> payload, uint? announcedBytes = null, ReadOnlySpan<FileDescriptor> descriptors = default)
    {
        byte[] message = new byte[MessageHeader.SizeInBytes + payload.Length];
        MemoryMarshal.Write(message, new MessageHeader(request, flags, announcedBytes ?? (uint)payload.Length));
        payload.CopyTo(message.AsSpan(MessageHeader.SizeInBytes));
        Assert.True(_channel!.TrySend(message, descriptors, In(s_limit)));
    }

    /// <summary>Reads the front-end's word about a request on the channel.</summary>
    public ulong ReadOnChannel()
    {
        byte[] reply = new byte[MessageHeader.SizeInBytes + sizeof(ulong)];
        Assert.True(ReadAll(_channel!, reply, []));
        return MemoryMarshal.Read<ulong>(reply.AsSpan(MessageHeader.SizeInBytes));
    }

    public void Dispose()
    {
        _stop = true;
        _thread.Join();
        _socket.Dispose();
        _channel?.Dispose();
        FrontendEnd.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!_stop && Step())
            {
            }

            if (!_stop && AtEnd is not null)
            {
                AtEnd();
                _socket.Dispose();
            }
        }
        catch (LinuxException)
        {
            // The front-end has closed its end.
        }
    }

    private bool Step()
    {
        var descriptors = new List<FileDescriptor>();
        byte[] raw = new byte[MessageHeader.SizeInBytes];
        if (!ReadAll(_socket, raw, descriptors))
        {
            return false;
        }

        MessageHeader header = MemoryMarshal.Read<MessageHeader>(raw);
        byte[] payload = new byte[header.PayloadBytes];
        if (!ReadAll(_socket, payload, descriptors))
        {
            return false;
        }

        var message = new Received((FrontendRequest)header.Request, header.Flags, payload, descriptors.Count);
        _received.Enqueue(message);
        if (message.Request == FrontendRequest.SetBackendReqFd)
        {
            _channel = new FrontendSocket(UnixSocket.From(descriptors[0].Duplicate()));
        }

        Observe?.Invoke(message, descriptors);
        descriptors.ForEach(descriptor => descriptor.Dispose());
        Answer? answer = _script(message) ?? Decent(message);
        if (answer is { Close: true })
        {
            _socket.Dispose();
            return false;
        }

        if (answer is { Silent: false })
        {
            Send(message, answer);
        }

        return true;
    }

    private Answer? Decent(Received message) => message.Request switch
    {
        FrontendRequest.GetFeatures => Answer.Of(Features),
        FrontendRequest.GetProtocolFeatures => Answer.Of((ulong)ProtocolFeatures),
        FrontendRequest.GetQueueNum => Answer.Of(2),
        FrontendRequest.GetMaxMemSlots => Answer.Of(32),
        FrontendRequest.GetStatus => Answer.Of(0),
        FrontendRequest.GetConfig or FrontendRequest.GetVringBase => new Answer { Payload = message.Payload },
        _ => message.WantsReply ? Answer.Of(0) : null,
    };

    private void Send(Received message, Answer answer)
    {
        byte[] reply = new byte[MessageHeader.SizeInBytes + answer.Payload.Length];
        uint announced = answer.AnnouncedBytes ?? (uint)answer.Payload.Length;
        MemoryMarshal.Write(reply, new MessageHeader(answer.Request ?? (uint)message.Request, answer.Flags, announced));
        answer.Payload.CopyTo(reply.AsSpan(MessageHeader.SizeInBytes));
        using var extra = new EventFd();
        var descriptors = new FileDescriptor[answer.Descriptors];
        Array.Fill(descriptors, answer.File ?? extra);
        _ = _socket.TrySend(reply.AsSpan(0, answer.CutTo ?? reply.Length), descriptors, In(s_limit));
    }

    private bool ReadAll(FrontendSocket socket, Span<byte> buffer, List<FileDescriptor> descriptors)
    {
        while (!buffer.IsEmpty)
        {
            int count = socket.TryReceive(buffer, descriptors);
            if (count == 0 || _stop)
            {
                return false;
            }

            if (count < 0)
            {
                _ = Polling.WaitUntil(socket.Number, LibC.POLLIN, In(TimeSpan.FromMilliseconds(50)));
                continue;
            }

            buffer = buffer[count..];
        }

        return true;
    }

    private static long In(TimeSpan time) => Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
}
