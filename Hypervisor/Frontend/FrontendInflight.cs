using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Frontend;

/// <summary>A back-end's record of requests in flight. The front-end keeps it for the life of the guest, without looking inside, and hands it to each back-end that takes over.</summary>
/// <remarks>After a guest reset it describes requests that nobody waits for any more: dispose it and ask for a fresh one.</remarks>
public sealed class FrontendInflight : IDisposable
{
    internal FrontendInflight(InflightArea area, FileDescriptor file)
    {
        Area = area;
        File = file;
    }

    /// <summary>Where in <see cref="File"/> the record is, and for how many queues of what size.</summary>
    public InflightArea Area { get; }

    /// <summary>The memory of the record. Stays open until <see cref="Dispose"/>.</summary>
    public FileDescriptor File { get; }

    /// <inheritdoc/>
    public void Dispose() => File.Dispose();
}
