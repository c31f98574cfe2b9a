namespace Paravane.Hypervisor.Kvm;

/// <summary>A message-signalled interrupt: what a device writes, and where.</summary>
/// <param name="AddressLow">Bits 31:0 of the address.</param>
/// <param name="AddressHigh">Bits 63:32 of the address.</param>
/// <param name="Data">The word that is written.</param>
internal readonly record struct MsiMessage(uint AddressLow, uint AddressHigh, uint Data);
