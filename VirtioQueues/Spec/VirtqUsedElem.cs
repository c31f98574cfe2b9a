using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Spec;

/// <summary>Entry of the split used ring, <c>struct virtq_used_elem</c> (virtio 1.2 §2.7.8). 8 bytes, little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Size = 8)]
public readonly struct VirtqUsedElem(uint id, uint len)
{
    /// <summary>Head of the completed chain.</summary>
    public readonly uint Id = id;

    /// <summary>Bytes written into the writable part.</summary>
    public readonly uint Len = len;
}
