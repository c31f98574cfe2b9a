namespace Paravane.VhostServer.Hosting;

/// <summary>The device cannot be served here and now. One line on standard error, exit code 1, before any socket appears.</summary>
/// <param name="message">Names what is missing or in the way.</param>
public sealed class StartException(string message) : Exception(message);
