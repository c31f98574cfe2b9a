using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>Where a vring lies, <c>struct vhost_vring_addr</c>. 40 bytes. User addresses, except for <see cref="Log"/>.</summary>
[StructLayout(LayoutKind.Sequential, Size = 40)]
public readonly struct VringAddress(uint index, VringAddressFlags flags, ulong descriptor, ulong used, ulong available, ulong log)
{
    /// <summary>Index of the vring.</summary>
    public readonly uint Index = index;

    /// <summary>Whether writes to the used part are logged.</summary>
    public readonly VringAddressFlags Flags = flags;

    /// <summary>Descriptor table, or packed descriptor ring.</summary>
    public readonly ulong Descriptor = descriptor;

    /// <summary>Used ring, or packed device event suppression.</summary>
    public readonly ulong Used = used;

    /// <summary>Available ring, or packed driver event suppression.</summary>
    public readonly ulong Available = available;

    /// <summary>Guest address at which writes to the used part are logged.</summary>
    public readonly ulong Log = log;
}
