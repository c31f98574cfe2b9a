namespace Paravane.VirtioQueues.Spec;

/// <summary>Descriptor flags of both ring formats (virtio 1.2 §2.7.5, §2.8.1). 16 bits.</summary>
[Flags]
public enum VirtqDescFlags : ushort
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><c>VIRTQ_DESC_F_NEXT</c>: the chain goes on.</summary>
    Next = 1,

    /// <summary><c>VIRTQ_DESC_F_WRITE</c>: the device writes this buffer; clear: it reads it.</summary>
    Write = 2,

    /// <summary><c>VIRTQ_DESC_F_INDIRECT</c>: the buffer holds a table of descriptors.</summary>
    Indirect = 4,

    /// <summary><c>VIRTQ_DESC_F_AVAIL</c>, packed rings only.</summary>
    Avail = 0x80,

    /// <summary><c>VIRTQ_DESC_F_USED</c>, packed rings only.</summary>
    Used = 0x8000,
}
