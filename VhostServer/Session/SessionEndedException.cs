using Paravane.VhostServer.Transport;

namespace Paravane.VhostServer.Session;

/// <summary>Unwinds a handler whose connection or server ended while it waited for workers.</summary>
/// <param name="reason"><see cref="WaitResult.HungUp"/> or <see cref="WaitResult.Stopped"/>.</param>
internal sealed class SessionEndedException(WaitResult reason) : Exception
{
    /// <summary>Why.</summary>
    public WaitResult Reason { get; } = reason;
}
