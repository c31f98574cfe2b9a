namespace Paravane.VirtioQueues.Spec;

/// <summary>Flags of the packed event suppression structure (virtio 1.2 §2.8.14); the low half of its 32 bits is offset and wrap counter.</summary>
public enum EventSuppression : ushort
{
    /// <summary><c>RING_EVENT_FLAGS_ENABLE</c>: notify always.</summary>
    Enable = 0,

    /// <summary><c>RING_EVENT_FLAGS_DISABLE</c>: notify never.</summary>
    Disable = 1,

    /// <summary><c>RING_EVENT_FLAGS_DESC</c>: notify at the given descriptor, with EVENT_IDX only.</summary>
    Descriptor = 2,
}
