namespace Paravane.Peers;

/// <summary>A guest gave no answer in time, or its emulated machine ended: it stands still, or has lost what it was told.</summary>
public sealed class SilentGuestException(string message) : PeerException(message);
