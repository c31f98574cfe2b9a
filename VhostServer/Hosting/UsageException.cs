namespace Paravane.VhostServer.Hosting;

/// <summary>The command line cannot be meant like this. One line on standard error, exit code 2, nothing created.</summary>
/// <param name="message">Names the option and says what would be right.</param>
public sealed class UsageException(string message) : Exception(message);
