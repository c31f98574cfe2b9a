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
    public FileDescriptor Connect() => FrontendSocket.Open(path);

    /// <inheritdoc/>
    public string? End() => null;

    /// <inheritdoc/>
    public void Finish()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
