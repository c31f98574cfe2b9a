namespace Paravane.Hypervisor.Virtio;

/// <summary>What happened to one device since it was made. Written by its thread, read by any.</summary>
internal sealed class VhostUserCounters
{
    private long _connectedAt;
    private long _starts, _restarts, _losses, _configChanges, _refusals, _needsResets;
    private volatile string? _firstError, _lastError;

    /// <summary>Times that a driver started the device.</summary>
    public long Starts => Volatile.Read(ref _starts);

    /// <summary>Times that a started device went on with a new back-end.</summary>
    public long Restarts => Volatile.Read(ref _restarts);

    /// <summary>Connections that were lost or given up, and attempts that failed.</summary>
    public long Losses => Volatile.Read(ref _losses);

    /// <summary>Changes of the configuration that the guest was told of.</summary>
    public long ConfigChanges => Volatile.Read(ref _configChanges);

    /// <summary>Requests that the back-end refused, the connection going on.</summary>
    public long Refusals => Volatile.Read(ref _refusals);

    /// <summary>Times that only a reset by the driver could help.</summary>
    public long NeedsResets => Volatile.Read(ref _needsResets);

    /// <summary>When the present or last back-end answered for the first time, in <see cref="System.Diagnostics.Stopwatch"/> ticks.</summary>
    public long ConnectedAt => Volatile.Read(ref _connectedAt);

    /// <summary>The first thing that went wrong, one line; null: nothing did. What comes later may be a consequence.</summary>
    public string? FirstError => _firstError;

    /// <summary>The last thing that went wrong, one line; null: nothing did.</summary>
    public string? LastError => _lastError;

    /// <summary>Notes a new connection.</summary>
    public void NoteConnection(long timestamp) => Volatile.Write(ref _connectedAt, timestamp);

    /// <summary>Counts a start.</summary>
    public void CountStart() => Count(ref _starts);

    /// <summary>Counts a restart.</summary>
    public void CountRestart() => Count(ref _restarts);

    /// <summary>Counts a change of the configuration.</summary>
    public void CountConfigChange() => Count(ref _configChanges);

    /// <summary>Counts a lost connection.</summary>
    public void CountLoss(string reason) => Count(ref _losses, reason);

    /// <summary>Counts a refused request.</summary>
    public void CountRefusal(string reason) => Count(ref _refusals, reason);

    /// <summary>Counts a device that needs a reset.</summary>
    public void CountNeedsReset(string reason) => Count(ref _needsResets, reason);

    private static void Count(ref long counter) => Volatile.Write(ref counter, counter + 1);

    private void Count(ref long counter, string reason)
    {
        _firstError ??= reason;
        _lastError = reason;
        Count(ref counter);
    }
}
