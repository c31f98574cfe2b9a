namespace Paravane.VirtioQueues.Memory;

/// <summary>An address in the guest's view of memory: guest physical, or IOVA behind a virtual IOMMU. Never dereferenced, only translated.</summary>
public readonly record struct GuestAddress(ulong Value)
{
    /// <inheritdoc/>
    public override string ToString() => $"0x{Value:x}";
}
