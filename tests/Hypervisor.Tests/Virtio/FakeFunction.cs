using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>A device that writes down its orders. Stops are complete when the test says so, or at once on another thread.</summary>
internal sealed class FakeFunction(int queues = 3) : IVirtioFunction, IDisposable
{
    private readonly Lock _gate = new();
    private readonly EventFd[] _kicks = [.. Enumerable.Range(0, queues).Select(_ => new EventFd())];
    private readonly Queue<Action> _stops = [];

    public event Action? ConfigChanged;

    public event Action? NeedsReset;

    public ushort DeviceId { get; init; } = 2;

    public ulong Features { get; init; } = VirtioFeatures.Version1 | VirtioFeatures.RingReset | VirtioFeatures.EventIdx | VirtioFeatures.ProtocolFeatures
        | VirtioFeatures.LogAll | VirtioFeatures.NotificationData | 1UL << 37 | 1UL << 41 | 1;

    public int QueueCount => queues;

    public ushort MaxQueueSize => 256;

    public byte[] Configuration { get; } = [.. Enumerable.Range(1, 24).Select(i => (byte)i)];

    public int ConfigLengthBytes => Configuration.Length;

    public byte ConfigGeneration { get; set; }

    public bool StopsBySelf { get; init; }

    public TimeSpan StopTime { get; init; }

    public bool IsRunning { get; private set; }

    public bool IsStopping { get; private set; }

    public ulong StartedFeatures { get; private set; }

    public Dictionary<int, VirtqueueSetup> Running { get; } = [];

    public Dictionary<int, EventFd?> Calls { get; } = [];

    public List<string> Orders { get; } = [];

    public EventFd KickOf(int queue) => _kicks[queue];

    public void ReadConfig(uint offsetBytes, Span<byte> data)
    {
        for (int i = 0; i < data.Length; i++)
        {
            data[i] = offsetBytes + i < Configuration.Length ? Configuration[offsetBytes + i] : (byte)0;
        }
    }

    public void WriteConfig(uint offsetBytes, ReadOnlySpan<byte> data)
    {
        for (int i = 0; i < data.Length && offsetBytes + i < Configuration.Length; i++)
        {
            Configuration[offsetBytes + i] = data[i];
        }
    }

    public void Start(ulong features, IReadOnlyList<VirtqueueSetup> queues)
    {
        lock (_gate)
        {
            Assert.False(IsRunning || IsStopping, "started while it runs");
            Assert.Equal(0UL, features & ~Features);
            IsRunning = true;
            StartedFeatures = features;
            Orders.Add("start");
            foreach (VirtqueueSetup queue in queues)
            {
                Add(queue);
            }
        }
    }

    public void StartQueue(VirtqueueSetup queue)
    {
        lock (_gate)
        {
            Assert.True(IsRunning);
            Orders.Add($"start {queue.Index}");
            Add(queue);
        }
    }

    public void StopQueue(int queue, Action stopped)
    {
        lock (_gate)
        {
            Assert.True(IsRunning);
            Assert.True(Running.Remove(queue), $"queue {queue} does not run");
            Orders.Add($"stop {queue}");
            Later(stopped);
        }
    }

    public void SetCall(int queue, EventFd? call)
    {
        lock (_gate)
        {
            Assert.True(Running.ContainsKey(queue), $"queue {queue} does not run");
            Calls[queue] = call;
            Orders.Add($"call {queue}");
        }
    }

    public void Stop(Action stopped)
    {
        lock (_gate)
        {
            Assert.True(IsRunning);
            IsRunning = false;
            IsStopping = true;
            Running.Clear();
            Orders.Add("stop");
            Later(() =>
            {
                lock (_gate)
                {
                    IsStopping = false;
                }

                stopped();
            });
        }
    }

    /// <summary>Completes the oldest stop.</summary>
    public void Complete()
    {
        Action stop;
        lock (_gate)
        {
            stop = _stops.Dequeue();
        }

        stop();
    }

    public void ChangeConfig()
    {
        ConfigGeneration++;
        ConfigChanged?.Invoke();
    }

    public void Break() => NeedsReset?.Invoke();

    /// <summary>Reports used buffers.</summary>
    public void Call(int queue)
    {
        lock (_gate)
        {
            if (Running.ContainsKey(queue))
            {
                Calls[queue]?.Signal();
            }
        }
    }

    public bool HasStopsDue
    {
        get
        {
            lock (_gate)
            {
                return _stops.Count > 0;
            }
        }
    }

    public bool WasKicked(int queue) => _kicks[queue].Drain();

    public bool IsListenedTo => ConfigChanged is not null || NeedsReset is not null;

    public void Dispose()
    {
        foreach (EventFd kick in _kicks)
        {
            kick.Dispose();
        }
    }

    private void Add(VirtqueueSetup queue)
    {
        Assert.True(Running.TryAdd(queue.Index, queue), $"queue {queue.Index} runs already");
        Assert.InRange(queue.Size, 1, MaxQueueSize);
        Calls[queue.Index] = queue.Call;
    }

    private void Later(Action stop)
    {
        if (!StopsBySelf)
        {
            _stops.Enqueue(stop);
        }
        else
        {
            // Not the pool: a busy machine lets its threads wait for longer than a reset has patience.
            new Thread(() =>
            {
                Thread.Sleep(StopTime);
                stop();
            })
            { IsBackground = true }.Start();
        }
    }
}
