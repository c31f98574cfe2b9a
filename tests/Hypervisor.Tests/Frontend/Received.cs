using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;

namespace Paravane.Hypervisor.Tests.Frontend;

/// <summary>A message as the back-end's end of the socket saw it.</summary>
internal sealed record Received(FrontendRequest Request, MessageFlags Flags, byte[] Payload, int Descriptors)
{
    public ulong Number => MemoryMarshal.Read<ulong>(Payload);

    public bool WantsReply => (Flags & MessageFlags.NeedReply) != 0;
}
