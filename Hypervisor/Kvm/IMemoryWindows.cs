namespace Paravane.Hypervisor.Kvm;

/// <summary>Which devices answer which guest physical addresses. The machine's address bus behind it; a test has its own.</summary>
/// <remarks>
/// Any thread; it takes effect before the call returns. The caller holds its device's lock, so an implementation calls no device while it
/// holds a lock of its own.
/// </remarks>
internal interface IMemoryWindows
{
    /// <summary>From now on <paramref name="device"/> answers <paramref name="lengthBytes"/> bytes from <paramref name="address"/>, where nothing else does.</summary>
    void Add(ulong address, ulong lengthBytes, IBusDevice device);

    /// <summary>Ends <see cref="Add"/>. An access that another vCPU has already begun may still reach the device.</summary>
    void Remove(ulong address);
}
