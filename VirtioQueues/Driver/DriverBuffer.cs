using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Driver;

/// <summary>One buffer that a driver offers: a range of guest memory, not checked here (the device does).</summary>
/// <param name="Address">First byte.</param>
/// <param name="LengthBytes">Length in bytes.</param>
public readonly record struct DriverBuffer(GuestAddress Address, uint LengthBytes);
