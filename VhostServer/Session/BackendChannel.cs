using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Session;

/// <summary>The socket on which the back-end speaks first (vhost-user: SET_BACKEND_REQ_FD).</summary>
/// <remarks>Session thread only, so that there is one writer. Nothing here waits: the front-end may itself be waiting for a reply on the other socket.</remarks>
internal sealed class BackendChannel(UnixSocket socket) : IDisposable
{
    private bool _isGone;

    /// <summary>Sends CONFIG_CHANGE_MSG without asking for an answer.</summary>
    /// <returns>False when the peer's buffer is full: try again later. A peer that has gone counts as told.</returns>
    public bool TrySendConfigChange()
    {
        if (_isGone)
        {
            return true;
        }

        var header = new MessageHeader((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1, 0);
        int sent = socket.TrySend(MemoryMarshal.AsBytes(new ReadOnlySpan<MessageHeader>(in header)));
        if (sent == -Errno.EAGAIN)
        {
            return false;
        }

        _isGone = sent != MessageHeader.SizeInBytes;
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();
}
