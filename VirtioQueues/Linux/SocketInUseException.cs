namespace Paravane.VirtioQueues.Linux;

/// <summary>A socket cannot listen at its path, since something else is there; one line says what to do, up to the alternative that the caller knows.</summary>
public sealed class SocketInUseException(string message) : IOException(message);
