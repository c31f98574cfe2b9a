using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <summary>Guest writes that end in an eventfd inside the kernel, without an exit to this process (KVM_IOEVENTFD).</summary>
/// <remarks>Any thread.</remarks>
internal interface IDoorbells
{
    /// <summary>A write to <paramref name="address"/> signals <paramref name="target"/>.</summary>
    /// <param name="address">Guest physical address.</param>
    /// <param name="lengthBytes">Only accesses of this length; 0 for any.</param>
    /// <param name="match">Only this value; null for any. With a length of 0 it must be null.</param>
    /// <param name="target">Signalled.</param>
    void Attach(ulong address, uint lengthBytes, uint? match, EventFd target);

    /// <summary>Ends <see cref="Attach"/>, with the same arguments.</summary>
    void Detach(ulong address, uint lengthBytes, uint? match, EventFd target);
}
