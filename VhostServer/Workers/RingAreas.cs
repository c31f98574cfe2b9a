using Paravane.VirtioQueues.Memory;

namespace Paravane.VhostServer.Workers;

/// <summary>Guest addresses of the three areas of a ring under one memory table.</summary>
internal readonly record struct RingAreas(GuestAddress Descriptor, GuestAddress Driver, GuestAddress Device)
{
    private static readonly GuestAddress s_nowhere = new(ulong.MaxValue - 15);

    /// <summary>Not in the table: aligned, and outside every region that does not reach the very end of the address space.</summary>
    public static RingAreas Missing { get; } = new(s_nowhere, s_nowhere, s_nowhere);
}
