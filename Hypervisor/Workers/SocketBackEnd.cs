using Paravane.Hypervisor.Frontend;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Workers;

/// <summary>A back-end that somebody else started and that listens at a path.</summary>
/// <param name="path">Path of the socket.</param>
internal sealed class SocketBackEnd(string path) : IBackEnd
{
    /// <inheritdoc/>
    public string Name { get; } = $"the back-end at '{path}'";

    /// <inheritdoc/>
    public int? ProcessId => null;

    /// <inheritdoc/>
    public TimeSpan SettleTime { get; } = TimeSpan.FromSeconds(20); // with the limit of a reset itself: less than a reboot waits

    /// <inheritdoc/>
    public UnixSocket Connect() => FrontendSocket.Open(path);

    /// <inheritdoc/>
    public string? End() => null;

    /// <inheritdoc/>
    public bool HasEnded(TimeSpan wait) => true;

    /// <inheritdoc/>
    public void Finish()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
