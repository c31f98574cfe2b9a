namespace Paravane.Hypervisor.Kvm;

/// <summary>The end of a machine's run.</summary>
/// <param name="Kind">Why.</param>
/// <param name="Reason">The same for people, one line.</param>
internal sealed record VmStop(VmStopKind Kind, string Reason);
