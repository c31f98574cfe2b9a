namespace Paravane.VirtioQueues.Memory;

/// <summary>An address in the front-end's own virtual memory: to a back-end an opaque label, never dereferenced, only looked up.</summary>
public readonly record struct UserAddress(ulong Value)
{
    /// <inheritdoc/>
    public override string ToString() => $"0x{Value:x}";
}
