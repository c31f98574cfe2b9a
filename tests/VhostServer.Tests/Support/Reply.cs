using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;

namespace Paravane.VhostServer.Tests.Support;

internal sealed record Reply(FrontendRequest Request, MessageFlags Flags, byte[] Payload)
{
    public ulong Word => MemoryMarshal.Read<ulong>(Payload);

    public T As<T>()
        where T : unmanaged => MemoryMarshal.Read<T>(Payload);
}
