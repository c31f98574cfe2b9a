using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <summary>Interrupts as devices raise them. KVM's routing table behind it; a test has its own.</summary>
/// <remarks>Any thread. None of this is on the data path: an eventfd that is attached injects inside the kernel.</remarks>
internal interface IInterruptController
{
    /// <summary>Takes a free GSI for messages, from 24 on.</summary>
    /// <exception cref="IOException">All are taken.</exception>
    int AllocateGsi();

    /// <summary>Gives a GSI back. Nothing is attached to it any more.</summary>
    void FreeGsi(int gsi);

    /// <summary>Routes <paramref name="gsi"/> to <paramref name="message"/>; null takes the route away.</summary>
    void SetMessage(int gsi, MsiMessage? message);

    /// <summary>From now on a signal of <paramref name="source"/> raises <paramref name="gsi"/>. An eventfd that is already signalled raises it at once.</summary>
    /// <remarks>That signal is taken out: after <see cref="Detach"/> it is not in the eventfd any more.</remarks>
    void Attach(int gsi, EventFd source);

    /// <summary>Ends <see cref="Attach"/>: signals stay in the eventfd.</summary>
    void Detach(int gsi, EventFd source);

    /// <summary>Sets the level of a wired interrupt, GSI 0 to 23.</summary>
    void SetLine(int gsi, bool level);
}
