using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Memory;

/// <summary>One range of guest memory as it is told to a back-end.</summary>
/// <param name="Guest">First guest address.</param>
/// <param name="User">The front-end's label of the same byte, in which ring addresses are told.</param>
/// <param name="SizeBytes">Size in bytes.</param>
/// <param name="FileOffset">Offset of the first byte in <paramref name="File"/>.</param>
/// <param name="File">Owned by the guest memory.</param>
public sealed record GuestRamRegion(GuestAddress Guest, UserAddress User, ulong SizeBytes, ulong FileOffset, FileDescriptor File);
