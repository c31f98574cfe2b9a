namespace Paravane.Peers;

/// <summary>A program beside which we test or measure did not do what it was asked for.</summary>
public sealed class PeerException(string message) : Exception(message);
