namespace Paravane.Hypervisor.Frontend;

/// <summary>A back-end that refused, fell silent, left or broke the protocol. The message names the request and what was wrong with its answer.</summary>
public sealed class FrontendException(string message, Exception? inner = null) : IOException(message, inner);
