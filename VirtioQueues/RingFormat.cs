namespace Paravane.VirtioQueues;

/// <summary>Which of the two ring layouts a queue uses.</summary>
public enum RingFormat : byte
{
    /// <summary>Split virtqueue (virtio 1.2 §2.7).</summary>
    Split,

    /// <summary>Packed virtqueue (virtio 1.2 §2.8).</summary>
    Packed,
}
