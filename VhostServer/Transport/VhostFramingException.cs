namespace Paravane.VhostServer.Transport;

/// <summary>The peer broke the framing or descriptor contract, or stalled: the connection is closed and nothing else happens.</summary>
/// <param name="message">What was broken, with numbers.</param>
internal sealed class VhostFramingException(string message) : Exception(message);
