namespace Paravane.Peers;

/// <summary>A program beside which we test or measure did not do what it was asked for.</summary>
public class PeerException(string message) : Exception(message);
