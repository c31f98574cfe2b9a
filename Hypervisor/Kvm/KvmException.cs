namespace Paravane.Hypervisor.Kvm;

/// <summary>KVM cannot be used, or cannot do what is needed: one line that says what is wrong and what to do.</summary>
internal sealed class KvmException(string message, Exception? inner = null) : IOException(message, inner);
