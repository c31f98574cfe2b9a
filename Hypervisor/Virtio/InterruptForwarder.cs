using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <summary>Turns eventfd signals into calls, for interrupts that KVM cannot take by itself: INTx needs a status register set before the wire.</summary>
/// <remarks>Any thread. One thread for all devices, started with first use: guests with MSI-X never need it.</remarks>
internal sealed class InterruptForwarder : IDisposable
{
    private const ulong StopTag = 0;

    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, Watch> _watches = [];
    private readonly EventFd _stop = new();
    private readonly Epoll _epoll = new();
    private Thread? _thread;
    private ulong _lastTag = StopTag;

    /// <summary>From now on a signal of <paramref name="source"/> is taken out and followed by a call.</summary>
    /// <param name="source">Open until <see cref="Remove"/> has returned.</param>
    /// <param name="signalled">Called on the forwarder's thread, with no lock held; once for signals that came together.</param>
    /// <returns>For <see cref="Remove"/>; never 0.</returns>
    /// <exception cref="LinuxException">The kernel cannot watch one more.</exception>
    public ulong Add(EventFd source, Action signalled)
    {
        lock (_gate)
        {
            if (_thread is null)
            {
                _epoll.Add(_stop.Number, StopTag);
                _thread = new Thread(Run) { Name = "intx", IsBackground = true };
                _thread.Start();
            }

            ulong tag = ++_lastTag;
            _epoll.Add(source.Number, tag);
            _watches.Add(tag, new Watch(source, signalled));
            return tag;
        }
    }

    /// <summary>Ends <see cref="Add"/>. A call that has begun may still come to its end.</summary>
    public void Remove(ulong tag)
    {
        lock (_gate)
        {
            if (_watches.Remove(tag, out Watch watch))
            {
                _epoll.Remove(watch.Source.Number);
            }
        }
    }

    /// <summary>Stops the thread.</summary>
    public void Dispose()
    {
        Thread? thread;
        lock (_gate)
        {
            thread = _thread;
        }

        _stop.Signal();
        thread?.Join();
        _epoll.Dispose();
        _stop.Dispose();
    }

    private void Run()
    {
        Span<ulong> tags = stackalloc ulong[16];
        while (true)
        {
            int count = _epoll.Wait(tags, -1);
            foreach (ulong tag in tags[..count])
            {
                if (tag == StopTag)
                {
                    return;
                }

                if (TryTake(tag) is { } signalled)
                {
                    signalled();
                }
            }
        }
    }

    private Action? TryTake(ulong tag)
    {
        lock (_gate)
        {
            // Under the lock, since the descriptor may be closed after Remove.
            return _watches.TryGetValue(tag, out Watch watch) && watch.Source.Drain() ? watch.Signalled : null;
        }
    }

    private readonly record struct Watch(EventFd Source, Action Signalled);
}
