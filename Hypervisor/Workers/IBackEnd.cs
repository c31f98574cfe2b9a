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

    /// <summary>
    /// How long a back-end that was given up with rings running may take to settle its I/O, once it has been told by the end of the stream, before the connection
    /// is closed without its word: nobody else can say when it touches guest memory no more. Zero where <see cref="End"/> sees to that.
    /// </summary>
    TimeSpan SettleTime { get; }

    /// <summary>Makes a new connection; what there was before has been ended by <see cref="End"/>.</summary>
    /// <returns>A connected socket, the caller's from now on.</returns>
    /// <exception cref="IOException">It cannot be had now; the message says why.</exception>
    UnixSocket Connect();

    /// <summary>The present connection is lost or given up: makes sure that nobody goes on working for it, as far as that is in our hands.</summary>
    /// <returns>What is known about the reason besides what the socket showed, or null.</returns>
    string? End();

    /// <summary>Whether nobody works for a connection any more that <see cref="End"/> has ended, as far as that can be known.</summary>
    /// <param name="wait">Longest wait for that.</param>
    bool HasEnded(TimeSpan wait);

    /// <summary>The connection was closed in order: waits until the back-end has settled its work and gone.</summary>
    void Finish();
}
