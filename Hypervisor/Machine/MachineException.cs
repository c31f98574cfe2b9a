namespace Paravane.Hypervisor.Machine;

/// <summary>A machine cannot do what was asked; the message is one line for the user.</summary>
internal sealed class MachineException(string message, Exception? inner = null) : IOException(message, inner);
