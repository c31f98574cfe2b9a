using Paravane.Hypervisor.Kvm;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Pci;

/// <summary>One entry of an MSI-X table, and what stands for it in the kernel.</summary>
internal struct MsiXVector
{
    /// <summary>Entry: what the guest wants written, and where.</summary>
    public MsiMessage Message;

    /// <summary>Entry, vector control bit 0.</summary>
    public bool IsMasked;

    /// <summary>Carries the events; made with first use. Readable while nothing is attached: pending.</summary>
    public EventFd? Source;

    /// <summary>GSI of its own, or −1: taken when the vector is first unmasked, kept while MSI-X is enabled.</summary>
    public int Gsi;

    /// <summary>What <see cref="Gsi"/> is routed to.</summary>
    public MsiMessage? Routed;

    /// <summary>True while signals of <see cref="Source"/> raise <see cref="Gsi"/>.</summary>
    public bool IsAttached;
}
