using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Frontend;

/// <summary>What a scripted back-end sends in place of the right reply. Null members: as it would be right.</summary>
internal sealed record Answer
{
    public uint? Request { get; init; }

    public MessageFlags Flags { get; init; } = MessageFlags.ReplyOfVersion1;

    public byte[] Payload { get; init; } = [];

    /// <summary>Payload size in the header, where it lies.</summary>
    public uint? AnnouncedBytes { get; init; }

    public int Descriptors { get; init; }

    /// <summary>What to send <see cref="Descriptors"/> times; null: an eventfd.</summary>
    public FileDescriptor? File { get; init; }

    /// <summary>Bytes of the whole message that are really sent.</summary>
    public int? CutTo { get; init; }

    public bool Silent { get; init; }

    public bool Close { get; init; }

    public static Answer Of(ulong number) => new() { Payload = MemoryMarshal.AsBytes([number]).ToArray() };
}
