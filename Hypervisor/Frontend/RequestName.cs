using System.Text;
using Paravane.VhostServer.Protocol;

namespace Paravane.Hypervisor.Frontend;

/// <summary>The wire spelling of a request, for messages: <c>SET_VRING_NUM</c>.</summary>
internal static class RequestName
{
    /// <summary>Spells <paramref name="request"/>.</summary>
    public static string Of(FrontendRequest request)
    {
        var text = new StringBuilder();
        foreach (char c in request.ToString())
        {
            if (char.IsUpper(c) && text.Length > 0)
            {
                text.Append('_');
            }

            text.Append(char.ToUpperInvariant(c));
        }

        return text.ToString();
    }
}
