using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>Header in front of each message, both directions and both sockets. 12 bytes, host byte order.</summary>
[StructLayout(LayoutKind.Sequential, Size = SizeInBytes)]
public readonly struct MessageHeader(uint request, MessageFlags flags, uint payloadBytes)
{
    /// <summary>Size of the struct in bytes.</summary>
    public const int SizeInBytes = 12;

    /// <summary>Largest payload accepted or sent, in bytes. The largest one of the protocol is 2056.</summary>
    public const int MaxPayloadBytes = 4096;

    /// <summary>Largest number of descriptors that one message may carry. The protocol's own need is 8; some front-ends send 32 regions at once.</summary>
    public const int MaxDescriptors = 32;

    /// <summary>Request number: <see cref="FrontendRequest"/> or <see cref="BackendRequest"/>, by socket.</summary>
    public readonly uint Request = request;

    /// <summary>Version, reply, need-reply.</summary>
    public readonly MessageFlags Flags = flags;

    /// <summary>Bytes of payload that follow.</summary>
    public readonly uint PayloadBytes = payloadBytes;
}
