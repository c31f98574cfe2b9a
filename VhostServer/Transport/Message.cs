using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;

namespace Paravane.VhostServer.Transport;

/// <summary>One received message. A session has one and fills it again and again.</summary>
internal sealed class Message
{
    private readonly byte[] _payload = new byte[MessageHeader.MaxPayloadBytes];

    /// <summary>The header, framing checked.</summary>
    public MessageHeader Header { get; set; }

    /// <summary>The request number; may be one that is not defined.</summary>
    public FrontendRequest Request => (FrontendRequest)Header.Request;

    /// <summary>The whole payload.</summary>
    public Span<byte> Payload => _payload.AsSpan(0, (int)Header.PayloadBytes);

    /// <summary>Descriptors that came along.</summary>
    public ReceivedDescriptors Descriptors { get; } = new();

    /// <summary>True when the peer set the flag, whether or not it counts.</summary>
    public bool WantsReply => (Header.Flags & MessageFlags.NeedReply) != 0;

    /// <summary>A wire struct at the front of the payload, whose length the message table has checked.</summary>
    public T Read<T>(int offset = 0)
        where T : unmanaged => MemoryMarshal.Read<T>(Payload.Slice(offset, Unsafe.SizeOf<T>()));
}
