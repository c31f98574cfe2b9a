using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Spec;

/// <summary>Packed-ring descriptor, <c>struct pvirtq_desc</c> (virtio 1.2 §2.8.13). 16 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
public readonly struct PackedDesc(ulong addr, uint len, ushort id, VirtqDescFlags flags)
{
    /// <summary>Guest address of the buffer or of the indirect table.</summary>
    public readonly ulong Addr = addr;

    /// <summary>Length in bytes; in a used descriptor the bytes written.</summary>
    public readonly uint Len = len;

    /// <summary>Buffer id, valid in the last descriptor of a list and in a used one.</summary>
    public readonly ushort Id = id;

    /// <summary>NEXT, WRITE, INDIRECT, AVAIL, USED.</summary>
    public readonly VirtqDescFlags Flags = flags;
}
