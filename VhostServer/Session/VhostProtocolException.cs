using Paravane.VhostServer.Protocol;

namespace Paravane.VhostServer.Session;

/// <summary>A well-formed request that cannot be accepted. Nothing changed; the peer gets a refusal if it asked for an answer, else the connection ends.</summary>
/// <param name="request">The request.</param>
/// <param name="detail">What is wrong, with numbers in hex where the peer sent them.</param>
internal sealed class VhostProtocolException(FrontendRequest request, string detail) : Exception($"{MessageTable.NameOf(request)}: {detail}");
