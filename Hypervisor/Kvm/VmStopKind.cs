namespace Paravane.Hypervisor.Kvm;

/// <summary>Why a machine stopped.</summary>
internal enum VmStopKind
{
    /// <summary>The guest switched it off.</summary>
    PowerOff,

    /// <summary>The guest asked for a reset.</summary>
    Reset,

    /// <summary>A vCPU could not even report a fault (triple fault): on a PC that is a reset.</summary>
    TripleFault,

    /// <summary>The guest reported its own crash.</summary>
    Crash,

    /// <summary>KVM, the processor or this program cannot go on with this guest.</summary>
    Fault,
}
