using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;

namespace Paravane.VhostServer.Session;

/// <summary>What one request may look like, when it is legal, and who serves it.</summary>
/// <param name="Name">Name as on the wire, for logs.</param>
/// <param name="MinBytes">Smallest payload.</param>
/// <param name="MaxBytes">Largest payload.</param>
/// <param name="MinDescriptors">Fewest descriptors.</param>
/// <param name="MaxDescriptors">Most descriptors.</param>
/// <param name="Needs">Protocol feature that unlocks it; none for the requests of the first days.</param>
/// <param name="Refusal">How a refusal looks.</param>
/// <param name="Handler">Who serves it; null: it is always refused.</param>
internal sealed record MessageRow(
    string Name,
    int MinBytes,
    int MaxBytes,
    int MinDescriptors,
    int MaxDescriptors,
    ProtocolFeatures Needs,
    RefusalForm Refusal,
    Action<VhostSession, Message>? Handler);
