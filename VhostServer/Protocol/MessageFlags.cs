namespace Paravane.VhostServer.Protocol;

/// <summary>Flags word of a message header. All other bits are reserved and 0.</summary>
[Flags]
public enum MessageFlags : uint
{
    /// <summary>No bit.</summary>
    None = 0,

    /// <summary>The only version there is, in bits 0–1.</summary>
    Version1 = 1,

    /// <summary>Mask of the version bits.</summary>
    VersionMask = 3,

    /// <summary>The message answers one with the same request number.</summary>
    Reply = 4,

    /// <summary>The sender wants an acknowledgement; counts only with <see cref="ProtocolFeatures.ReplyAck"/>.</summary>
    NeedReply = 8,

    /// <summary>The flags of every reply. A reply that keeps <see cref="NeedReply"/> makes QEMU drop the connection.</summary>
    ReplyOfVersion1 = Version1 | Reply,
}
