using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Spec;

/// <summary>Split-ring descriptor, <c>struct virtq_desc</c> (virtio 1.2 §2.7.5). 16 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
public readonly struct VirtqDesc(ulong addr, uint len, VirtqDescFlags flags, ushort next)
{
    /// <summary>Guest address of the buffer or of the indirect table.</summary>
    public readonly ulong Addr = addr;

    /// <summary>Length in bytes.</summary>
    public readonly uint Len = len;

    /// <summary>NEXT, WRITE, INDIRECT.</summary>
    public readonly VirtqDescFlags Flags = flags;

    /// <summary>Index of the next descriptor; meaningful only with <see cref="VirtqDescFlags.Next"/>.</summary>
    public readonly ushort Next = next;
}
