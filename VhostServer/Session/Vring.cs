using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Session;

/// <summary>What the front-end said about one vring. Addresses are kept as they came, since they are labels until the ring starts.</summary>
/// <remarks>Session thread only.</remarks>
internal sealed class Vring(int index) : IDisposable
{
    /// <summary>Index in the device.</summary>
    public int Index { get; } = index;

    /// <summary>Size in descriptors; 0: not told yet.</summary>
    public int Size { get; set; }

    /// <summary>Ring addresses; null: not told yet.</summary>
    public VringAddress? Address { get; set; }

    /// <summary>Where to go on; null: not told, so at the very beginning.</summary>
    public QueueState? Base { get; set; }

    /// <summary>SET_VRING_ENABLE, remembered while stopped.</summary>
    public bool IsEnabled { get; set; }

    /// <summary>SET_VRING_KICK came: the ring runs as soon as all it needs is known.</summary>
    public bool IsStartWanted { get; set; }

    /// <summary>The kick until the ring has started; it belongs to the worker afterwards. Null: none, or poll.</summary>
    public FileDescriptor? Kick { get; set; }

    /// <summary>The call until the ring has started.</summary>
    public FileDescriptor? Call { get; set; }

    /// <summary>The error eventfd; stays here.</summary>
    public FileDescriptor? Error { get; set; }

    /// <summary>The running queue, for its counters; null: stopped.</summary>
    public Virtqueue? Queue { get; set; }

    /// <summary>True while a worker owns the ring.</summary>
    public bool IsRunning => Queue is not null;

    /// <summary>Replaces <see cref="Kick"/>.</summary>
    public void SetKick(FileDescriptor? kick)
    {
        Kick?.Dispose();
        Kick = kick;
    }

    /// <summary>Replaces <see cref="Call"/>.</summary>
    public void SetCall(FileDescriptor? call)
    {
        Call?.Dispose();
        Call = call;
    }

    /// <summary>Replaces <see cref="Error"/>.</summary>
    public void SetError(FileDescriptor? error)
    {
        Error?.Dispose();
        Error = error;
    }

    /// <summary>The ring has started: kick and call are the worker's.</summary>
    public void HandOver() => (Kick, Call) = (null, null);

    /// <summary>After a stop: the peer sends kick and call again.</summary>
    public void ForgetSignals()
    {
        IsStartWanted = false;
        SetKick(null);
        SetCall(null);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        ForgetSignals();
        SetError(null);
    }
}
