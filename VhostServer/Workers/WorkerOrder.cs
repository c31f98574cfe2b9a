namespace Paravane.VhostServer.Workers;

/// <summary>Something the session wants done on a worker's thread, between two turns.</summary>
/// <param name="step">Called after each turn until it returns true: the order is carried out.</param>
internal sealed class WorkerOrder(Func<QueueWorker, bool> step)
{
    private volatile bool _isDone;

    /// <summary>True when the order was carried out or failed.</summary>
    public bool IsDone => _isDone;

    /// <summary>What the device threw. Read after <see cref="IsDone"/>.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>One attempt. Worker thread.</summary>
    /// <returns>True when the order is done.</returns>
    public bool TryCarryOut(QueueWorker worker)
    {
        try
        {
            if (!step(worker))
            {
                return false;
            }
        }
        catch (Exception failure)
        {
            // The session answers the request that led to this order with the failure; the worker goes on.
            Failure = failure;
        }

        _isDone = true;
        return true;
    }
}
