namespace Paravane.VirtioQueues.Memory;

/// <summary>A memory table or region that cannot be accepted; the message names the region and the rule.</summary>
public sealed class GuestMemoryException(string message, Exception? inner = null) : Exception(message, inner);
