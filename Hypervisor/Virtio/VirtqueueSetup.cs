using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Virtio;

/// <summary>One virtqueue as the driver set it up through a transport's registers; every value is the guest's and unchecked.</summary>
/// <param name="Index">Index of the queue in its device.</param>
/// <param name="Size">Size in descriptors.</param>
/// <param name="Descriptors">Descriptor area.</param>
/// <param name="Driver">Driver area.</param>
/// <param name="Device">Device area.</param>
/// <param name="Call">Signalled for used buffers; null while the driver wants no interrupt.</param>
internal sealed record VirtqueueSetup(int Index, ushort Size, GuestAddress Descriptors, GuestAddress Driver, GuestAddress Device, EventFd? Call);
