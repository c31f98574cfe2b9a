using System.Diagnostics;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VhostServer.Workers;

/// <content>What orders do. Worker thread, between two turns.</content>
internal sealed partial class QueueWorker
{
    /// <summary>Starts a ring and looks at it at once.</summary>
    /// <param name="device">Whose ring.</param>
    /// <param name="config">Checked.</param>
    /// <param name="memory">The current table.</param>
    /// <param name="kick">Owned by the worker once the ring has started; null: poll.</param>
    /// <param name="call">Owned by the queue once the ring has started; null: the driver polls.</param>
    /// <param name="enabled">SET_VRING_ENABLE.</param>
    /// <param name="log">The dirty log, or null.</param>
    public Virtqueue StartQueue(
        IVirtioDevice device, QueueConfig config, GuestMemory memory, FileDescriptor? kick, FileDescriptor? call, bool enabled, DirtyLog? log)
    {
        WorkerQueue? queue = null;
        try
        {
            queue = new WorkerQueue(config.Index, device.StartQueue(config, memory));
            SetKick(queue, kick);
        }
        catch
        {
            queue?.Loop.Dispose();
            throw;
        }

        queue.Queue.Enabled = enabled;
        queue.Queue.SetLog(log, queue.Queue.Config);
        queue.Queue.SetCall(call);
        UpdatePause(queue);
        queue.Disarm(); // a fresh ring asks for kicks, and this thread is awake
        _queues[_count++] = queue;
        CountQueues();
        return queue.Queue;
    }

    /// <summary>Before a stop that the front-end asked for: what a predecessor left undone is drained like what is in flight, since no base can tell of it.</summary>
    /// <returns>False while requests of a predecessor wait that the ring can serve. A disabled or broken ring leaves them in the record.</returns>
    public bool TryServePredecessor(int index)
    {
        if (Find(index) is not { } queue || queue.Queue.Config.Inflight is null || !queue.Queue.Enabled || !queue.MayFetch)
        {
            return true;
        }

        queue.Queue.ReturnUnused(); // what waits in the window counts
        return queue.Queue.Unserved == 0;
    }

    /// <summary>Stops a ring once nothing is in flight: no time limit, since a request given up could still be written into the guest's memory.</summary>
    /// <returns>False while chains are in flight.</returns>
    public bool TryStopQueue(int index, out QueueState state)
    {
        if (Find(index) is not { } queue)
        {
            state = default;
            return true;
        }

        queue.IsDraining = true;
        UpdatePause(queue);
        state = default;
        if (queue.Queue.InFlight != 0)
        {
            return false;
        }

        queue.Queue.ReturnUnused();
        state = queue.Queue.State;
        Watch(queue, -1);
        SetKick(queue, null);
        int position = Array.IndexOf(_queues, queue);
        Array.Copy(_queues, position + 1, _queues, position, --_count - position);
        if (queue.IsFaultReported)
        {
            _health.Heal(index);
        }

        CountQueues();
        queue.Loop.Dispose();
        return true;
    }

    /// <summary>Stops all rings of this worker.</summary>
    /// <param name="states">Gets where each ring stopped, by ring index.</param>
    /// <returns>False while chains are in flight.</returns>
    public bool TryStopAll(QueueState[] states)
    {
        for (int i = _count - 1; i >= 0; i--)
        {
            int index = _queues[i].Index;
            if (TryStopQueue(index, out QueueState state))
            {
                states[index] = state;
            }
        }

        return _count == 0;
    }

    /// <summary>Replaces a kick; the ring is looked at in the next turn in any case.</summary>
    public void SetKick(int index, FileDescriptor? kick)
    {
        try
        {
            if (Find(index) is { } queue)
            {
                SetKick(queue, kick);
                CountQueues();
                kick = null;
            }
        }
        finally
        {
            kick?.Dispose();
        }
    }

    /// <summary>Replaces a call.</summary>
    public void SetCall(int index, FileDescriptor? call)
    {
        if (Find(index) is { } queue)
        {
            queue.Queue.SetCall(call);
        }
        else
        {
            call?.Dispose();
        }
    }

    /// <summary>SET_VRING_ENABLE. Some front-ends pause a guest by disabling its rings and nothing else, so what was taken is finished first.</summary>
    /// <returns>False while chains of a disabled ring are in flight.</returns>
    public bool TrySetEnabled(int index, bool enabled)
    {
        if (Find(index) is not { } queue)
        {
            return true;
        }

        queue.Queue.Enabled = enabled;
        return enabled || queue.Queue.InFlight == 0;
    }

    /// <summary>Moves all rings to another table. Rings with chains in flight in memory that goes away stop fetching until those are done.</summary>
    /// <param name="next">The new table.</param>
    /// <param name="areas">Ring areas under it, by ring index.</param>
    /// <returns>False while a ring has not moved.</returns>
    public bool TryMoveTo(GuestMemory next, RingAreas[] areas)
    {
        bool complete = true;
        foreach (WorkerQueue queue in Queues)
        {
            if (ReferenceEquals(queue.Queue.Memory, next))
            {
                continue;
            }

            if (queue.Queue.MustDrainFor(next))
            {
                queue.IsDraining = true;
                UpdatePause(queue);
                complete = false;
                continue;
            }

            bool losesMemory = !next.Contains(queue.Queue.Memory);
            RingAreas area = areas[queue.Index];
            QueueConfig config = queue.Queue.Config with { DescriptorArea = area.Descriptor, DriverArea = area.Driver, DeviceArea = area.Device };
            if (queue.Queue.TryRemap(config, next))
            {
                queue.KickedDetachedAt = 0;
            }

            if (losesMemory)
            {
                queue.Queue.WaitsForMemory = true;
                queue.MemoryLostAt = Stopwatch.GetTimestamp();
            }

            queue.Loop.OnMemoryChanged();
            queue.IsDraining = false;
            UpdatePause(queue);
        }

        CountQueues();
        return complete;
    }

    /// <summary>Starts, changes or ends dirty logging on all rings of this worker.</summary>
    /// <param name="log">Null to end it.</param>
    /// <param name="usedLogs">Where each ring's used part is logged, by ring index.</param>
    public void SetLog(DirtyLog? log, GuestAddress?[] usedLogs)
    {
        foreach (WorkerQueue queue in Queues)
        {
            queue.Queue.SetLog(log, queue.Queue.Config with { UsedLog = usedLogs[queue.Index] });
        }
    }

    private WorkerQueue? Find(int index)
    {
        foreach (WorkerQueue queue in Queues)
        {
            if (queue.Index == index)
            {
                return queue;
            }
        }

        return null;
    }

    private void CountQueues()
    {
        _unkicked = 0;
        _unsettled = 0;
        _naps = 0;
        foreach (WorkerQueue queue in Queues)
        {
            _unkicked += queue.Kick is null ? 1 : 0;
            _unsettled += queue.IsUnsettled ? 1 : 0;
        }
    }

    private void SetKick(WorkerQueue queue, FileDescriptor? kick)
    {
        if (kick is not null)
        {
            _epoll.Add(kick.Number, (ulong)queue.Index); // may throw: before anything changes
        }

        Unwatch(queue);
        queue.Kick?.Dispose();
        queue.Kick = kick;
        queue.IsKickWatched = kick is not null;
    }

    private void Unwatch(WorkerQueue queue)
    {
        if (queue.IsKickWatched)
        {
            _epoll.Remove(queue.Kick!.Number);
            queue.IsKickWatched = false;
        }
    }

    /// <summary>Watches the device's own descriptor. Several rings of a worker may share one, which stays open while their loops live.</summary>
    private void Watch(WorkerQueue queue, int descriptor)
    {
        int old = queue.WakeDescriptor;
        if (old == descriptor)
        {
            return;
        }

        queue.WakeDescriptor = -1;
        if (old >= 0 && !IsWatched(old))
        {
            _epoll.Remove(old);
        }

        if (descriptor >= 0 && !IsWatched(descriptor))
        {
            _epoll.Add(descriptor, WakeTag);
        }

        queue.WakeDescriptor = descriptor;
    }

    private bool IsWatched(int descriptor)
    {
        foreach (WorkerQueue queue in Queues)
        {
            if (queue.WakeDescriptor == descriptor)
            {
                return true;
            }
        }

        return false;
    }
}
