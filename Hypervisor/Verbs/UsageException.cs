namespace Paravane.Hypervisor.Verbs;

/// <summary>Options that contradict each other or the device. One line on standard error, exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
