using Paravane.Hypervisor.Kvm;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Pci;

/// <summary>
/// Interrupts as KVM takes them: an eventfd that is signalled when it is attached raises at once; after that each signal raises; what breaks KVM's
/// rules is written down. Signals are taken in by <see cref="Deliver"/>, or by a thread of its own.
/// </summary>
internal sealed class FakeInterrupts : IInterruptController, IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<int, MsiMessage?> _routes = [];
    private readonly Dictionary<int, EventFd> _attached = [];
    private readonly Dictionary<MsiMessage, int> _raised = [];
    private readonly Dictionary<int, int> _pulses = [];
    private readonly Dictionary<int, bool> _lines = [];
    private Thread? _thread;
    private volatile bool _stop;

    public List<string> Violations { get; } = [];

    public int Calls { get; private set; }

    public int LineChanges { get; private set; }

    /// <summary>GSIs that can be had.</summary>
    public int Limit { get; set; } = 4096;

    public bool FailAttach { get; set; }

    public int GsisTaken
    {
        get
        {
            lock (_gate)
            {
                return _routes.Count;
            }
        }
    }

    public int AttachedCount
    {
        get
        {
            lock (_gate)
            {
                return _attached.Count;
            }
        }
    }

    public int AllocateGsi()
    {
        lock (_gate)
        {
            Calls++;
            if (_routes.Count >= Limit)
            {
                throw new IOException("all interrupts are taken");
            }

            int gsi = 24;
            while (_routes.ContainsKey(gsi))
            {
                gsi++;
            }

            _routes.Add(gsi, null);
            return gsi;
        }
    }

    public void FreeGsi(int gsi)
    {
        lock (_gate)
        {
            Calls++;
            Check(!_attached.ContainsKey(gsi), $"GSI {gsi} freed while attached");
            Check(_routes.Remove(gsi), $"GSI {gsi} freed, but not taken");
        }
    }

    public void SetMessage(int gsi, MsiMessage? message)
    {
        lock (_gate)
        {
            Calls++;
            Check(_routes.ContainsKey(gsi), $"GSI {gsi} routed, but not taken");
            Check(message is not null || !_attached.ContainsKey(gsi), $"route of GSI {gsi} gone while attached");
            _routes[gsi] = message;
        }
    }

    public void Attach(int gsi, EventFd source)
    {
        lock (_gate)
        {
            Calls++;
            if (FailAttach)
            {
                throw new LinuxException(Errno.EMFILE, "KVM_IRQFD");
            }

            Check(gsi < 24 || (_routes.TryGetValue(gsi, out MsiMessage? message) && message is not null), $"GSI {gsi} attached without a route");
            Check(!_attached.ContainsKey(gsi) && !_attached.ContainsValue(source), $"GSI {gsi} attached twice");
            _attached.Add(gsi, source);
            TakeIn(gsi, source);
        }
    }

    public void Detach(int gsi, EventFd source)
    {
        lock (_gate)
        {
            Calls++;

            // As in the kernel, where a signal raises before the write that made it returns.
            TakeIn(gsi, source);
            Check(_attached.Remove(gsi, out EventFd? was) && was == source, $"GSI {gsi} detached, but not attached");
        }
    }

    public void SetLine(int gsi, bool level)
    {
        lock (_gate)
        {
            LineChanges++;
            _lines[gsi] = level;
        }
    }

    public bool Line(int gsi)
    {
        lock (_gate)
        {
            return _lines.GetValueOrDefault(gsi);
        }
    }

    /// <summary>Takes in signals, as the kernel does when they are made.</summary>
    public void Deliver()
    {
        lock (_gate)
        {
            foreach ((int gsi, EventFd source) in _attached)
            {
                TakeIn(gsi, source);
            }
        }
    }

    public int Raised(MsiMessage message)
    {
        Deliver();
        lock (_gate)
        {
            return _raised.GetValueOrDefault(message);
        }
    }

    public int RaisedInAll()
    {
        Deliver();
        lock (_gate)
        {
            return _raised.Values.Sum();
        }
    }

    public int Pulses(int gsi)
    {
        Deliver();
        lock (_gate)
        {
            return _pulses.GetValueOrDefault(gsi);
        }
    }

    /// <summary>From now on a thread does <see cref="Deliver"/>.</summary>
    public void Run()
    {
        _thread = new Thread(() =>
        {
            while (!_stop)
            {
                Deliver();
                Thread.Yield();
            }
        })
        { IsBackground = true };
        _thread.Start();
    }

    public void Dispose()
    {
        _stop = true;
        _thread?.Join();
    }

    private void TakeIn(int gsi, EventFd source)
    {
        if (source.Drain())
        {
            Raise(gsi);
        }
    }

    private void Raise(int gsi)
    {
        if (gsi < 24)
        {
            _pulses[gsi] = _pulses.GetValueOrDefault(gsi) + 1;
        }
        else if (_routes.GetValueOrDefault(gsi) is { } message)
        {
            _raised[message] = _raised.GetValueOrDefault(message) + 1;
        }
        else
        {
            Check(false, $"an interrupt of GSI {gsi} has no route and is lost");
        }
    }

    private void Check(bool holds, string violation)
    {
        if (!holds)
        {
            Violations.Add(violation);
        }
    }
}
