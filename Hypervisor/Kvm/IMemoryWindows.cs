namespace Paravane.Hypervisor.Kvm;

/// <summary>Which devices answer which guest physical addresses. The machine's address bus behind it; a test has its own.</summary>
/// <remarks>
/// Any thread; it takes effect before the call returns. The caller holds its device's lock, so an implementation calls no device while it
/// holds a lock of its own.
/// </remarks>
internal interface IMemoryWindows
{
    /// <summary>From now on <paramref name="device"/> answers <paramref name="sizeBytes"/> bytes from <paramref name="address"/>.</summary>
    /// <param name="address">Guest physical address.</param>
    /// <param name="sizeBytes">At least 1.</param>
    /// <param name="device">Who answers.</param>
    /// <param name="name">For counters and logs.</param>
    /// <returns>False, and nothing changed, when another device answers there.</returns>
    bool TryAdd(ulong address, ulong sizeBytes, IBusDevice device, string name);

    /// <summary>Ends <see cref="TryAdd"/>. An access that another vCPU has already begun may still reach the device.</summary>
    void Remove(ulong address);
}
