namespace Paravane.Hypervisor.Boot;

/// <summary>A kernel, initrd or command line that cannot be booted. The message is one line that names the file and the rule.</summary>
internal sealed class BootException(string message, Exception? inner = null) : IOException(message, inner);
