namespace Paravane.VirtioQueues.Driver;

/// <summary>A chain that came back from the device. 8 bytes.</summary>
/// <param name="Cookie">What the driver gave it on its way.</param>
/// <param name="Id">Head (split) or buffer id (packed), checked.</param>
/// <param name="WrittenBytes">The used length; never more than the chain's writable part.</param>
public readonly record struct UsedChain(ushort Cookie, ushort Id, uint WrittenBytes);
