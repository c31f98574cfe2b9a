using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Session;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>What a well-formed request looks like, for generators.</summary>
internal readonly record struct MessageRowShape(int MinBytes, int MaxBytes, int MinDescriptors, int MaxDescriptors)
{
    public static MessageRowShape Of(FrontendRequest request)
    {
        MessageRow row = MessageTable.Find(request)!;
        return new MessageRowShape(row.MinBytes, row.MaxBytes, row.MinDescriptors, row.MaxDescriptors);
    }
}
