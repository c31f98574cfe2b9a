using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Workers;

/// <summary>Where connections to one device's back-end come from, again and again: a worker of our own, or a socket that somebody else serves.</summary>
/// <remarks>One thread at a time: who makes the device first, the device's own thread from then on. <see cref="Name"/> and <see cref="ProcessId"/>: any.</remarks>
internal interface IBackEnd : IDisposable
{
    /// <summary>What it is, for messages: <c>paravane-blk</c>, <c>the back-end at '/run/x.sock'</c>.</summary>
    string Name { get; }

    /// <summary>Process id of a worker of our own that was started and not ended, else null.</summary>
    int? ProcessId { get; }

    /// <summary>Makes a new connection; what there was before has been ended by <see cref="End"/>.</summary>
    /// <returns>A connected stream socket, the caller's from now on.</returns>
    /// <exception cref="IOException">It cannot be had now; the message says why.</exception>
    FileDescriptor Connect();

    /// <summary>The present connection is lost or given up: makes sure that nobody goes on working for it, as far as that is in our hands.</summary>
    /// <returns>What is known about the reason besides what the socket showed, or null.</returns>
    string? End();

    /// <summary>The connection was closed in order: waits until the back-end has settled its work and gone.</summary>
    void Finish();
}
