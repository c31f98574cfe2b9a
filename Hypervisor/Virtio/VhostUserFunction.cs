using System.Collections.Concurrent;
using System.Diagnostics;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Workers;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <summary>A virtio device of any type whose queues a vhost-user back-end serves. The back-end may die and come back as often as it likes.</summary>
/// <remarks>
/// <para>One thread, <c>dev-NAME</c>, owns the connection and carries out orders one after the other; all members can be called from any thread and none
/// waits for the back-end, except <see cref="Open"/> and <see cref="Dispose"/>.</para>
/// <para>The back-end is not trusted (threats H1, H2, H4): whatever it says, the guest sees what <see cref="DeviceShape"/> lets through; when it breaks the
/// protocol, falls silent or dies, it is given up and another one is started or awaited, for ever, and the guest's queues go on there.</para>
/// </remarks>
internal sealed partial class VhostUserFunction : IVirtioFunction, IDisposable
{
    /// <summary>Characters that Linux keeps of a thread's name.</summary>
    private const int MaxThreadNameLength = 15;

    private readonly VhostUserOptions _options;
    private readonly IBackEnd _backEnd;
    private readonly DeviceShape _shape;
    private readonly EventFd[] _kicks;
    private readonly EventFd _wake = new();
    private readonly ConcurrentQueue<Action> _orders = new();
    private readonly Thread _thread;

    /// <summary>Orders that are still waiting and may be overtaken by a newer value, so that a guest cannot pile them up. Guarded by <see cref="_gate"/>.</summary>
    private readonly CallOrder?[] _callOrders;
    private readonly Lock _gate = new();
    private volatile bool _closing;

    private VhostUserFunction(VhostUserOptions options, IBackEnd backEnd, DeviceShape shape, UnixSocket socket, VhostUserFrontend frontend, IReadOnlyList<GuestRamRegion> memory)
    {
        _options = options;
        _backEnd = backEnd;
        _shape = shape;
        _regions = [.. memory];
        _config = new ConfigState(shape.Config, 0);
        _kicks = [.. Enumerable.Range(0, shape.QueueCount).Select(_ => new EventFd())];
        _callOrders = new CallOrder?[shape.QueueCount];
        _socket = socket;
        Adopt(frontend);
        string name = $"dev-{options.Name}";
        _thread = new Thread(Run) { Name = name[..Math.Min(name.Length, MaxThreadNameLength)], IsBackground = true };
    }

    /// <inheritdoc/>
    public event Action? NeedsReset;

    /// <summary>Name that the user knows it by.</summary>
    public string Name => _options.Name;

    /// <summary>What happened so far.</summary>
    public VhostUserCounters Counters { get; } = new();

    /// <summary>Whether a back-end serves it at the moment.</summary>
    public bool IsServed { get; private set; }

    /// <summary>Process id of its worker; null while there is none, and for back-ends that others have started.</summary>
    public int? WorkerProcessId => _backEnd.ProcessId;

    /// <inheritdoc/>
    public ushort DeviceId => _shape.DeviceId;

    /// <inheritdoc/>
    public ulong Features => _shape.Features;

    /// <inheritdoc/>
    public int QueueCount => _shape.QueueCount;

    /// <inheritdoc/>
    public ushort MaxQueueSize => _options.QueueSize;

    /// <summary>Connects to the back-end, finds out what it is, and starts the device's thread.</summary>
    /// <param name="options">The user's decisions.</param>
    /// <param name="backEnd">Where connections come from; the device's own from now on, also when this fails.</param>
    /// <param name="memory">Guest memory. The files stay open as long as the device lives.</param>
    /// <exception cref="FrontendException">There is no such back-end, or it is of another type; one line that begins with the device's name.</exception>
    public static VhostUserFunction Open(VhostUserOptions options, IBackEnd backEnd, IReadOnlyList<GuestRamRegion> memory)
    {
        UnixSocket? socket = null;
        VhostUserFrontend? frontend = null;
        try
        {
            socket = backEnd.Connect();
            frontend = Greet(socket, options);
            var device = new VhostUserFunction(options, backEnd, DeviceShape.Of(options, frontend), socket, frontend, memory);
            device._thread.Start();
            return device;
        }
        catch (IOException failure)
        {
            frontend?.Dispose();
            socket?.Dispose();
            string reason = backEnd.End() ?? (socket is null ? failure.Message : $"{backEnd.Name}: {failure.Message}");
            backEnd.Dispose();
            throw new FrontendException($"{options.Name}: {reason}", failure);
        }
    }

    /// <inheritdoc/>
    public EventFd KickOf(int queue) => _kicks[queue];

    /// <inheritdoc/>
    public void Start(ulong features, IReadOnlyList<VirtqueueSetup> queues)
    {
        VirtqueueSetup[] all = [.. queues];
        BeginEpoch();
        Post(() => StartAll(features, all));
    }

    /// <inheritdoc/>
    public void StartQueue(VirtqueueSetup queue)
    {
        BeginEpoch();
        Post(() => StartOne(queue));
    }

    /// <inheritdoc/>
    public void StopQueue(int queue, Action stopped)
    {
        BeginEpoch();
        Post(() => StopOne(queue, stopped));
    }

    /// <inheritdoc/>
    public void SetCall(int queue, EventFd? call)
    {
        lock (_gate)
        {
            if (_callOrders[queue] is { } waiting)
            {
                waiting.Call = call;
                return;
            }

            var order = new CallOrder { Call = call };
            _callOrders[queue] = order;
            Post(() => ChangeCall(queue, Take(queue, order)));
        }
    }

    /// <inheritdoc/>
    public void Stop(Action stopped)
    {
        BeginEpoch();
        Post(() => StopAll(stopped));
    }

    /// <summary>Stops the rings and keeps their positions, so that nothing touches guest memory until <see cref="ResumeAsync"/>.</summary>
    /// <returns>Completes when the back-end has finished what it had taken, or has died.</returns>
    public Task PauseAsync() => PostTask(Pause);

    /// <summary>Goes on after <see cref="PauseAsync"/>.</summary>
    /// <returns>Completes when the rings run again, or the back-end turned out to be gone and another one is awaited.</returns>
    public Task ResumeAsync() => PostTask(Resume);

    /// <summary>Adds guest memory. A guest must hear of it only when the task has completed.</summary>
    /// <returns>Completes when the back-end has mapped it, or there is none at the moment: its successor begins with it. Fails when the back-end refuses it.</returns>
    public Task AddMemoryAsync(GuestRamRegion region) => PostTask(() => AddMemory(region));

    /// <summary>Takes guest memory away again that the guest has not heard of, if it was added here.</summary>
    /// <returns>Completes when the back-end has unmapped it, or is gone.</returns>
    public Task RemoveMemoryAsync(GuestRamRegion region) => PostTask(() => RemoveMemory(region));

    /// <summary>Gives the present back-end up, whatever it is doing; the device goes on with another one. Returns at once.</summary>
    public void HangUp()
    {
        lock (_gate)
        {
            Hang(_socket);
        }
    }

    /// <summary>Begins the end and returns: the connection is closed, whatever is under way there. The guest's driver is gone or does not matter any more.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _closing = true;
            Hang(_socket);
        }

        _wake.Signal();
    }

    /// <summary>Ends the device and, in order, its worker. All callbacks that were promised have come when this returns.</summary>
    public void Dispose()
    {
        Close();
        _thread.Join();
        _backEnd.Dispose();
        _wake.Dispose();
        _error.Dispose();
        foreach (EventFd kick in _kicks)
        {
            kick.Dispose();
        }
    }

    private void Post(Action order)
    {
        _orders.Enqueue(order);
        _wake.Signal();
    }

    private Task PostTask(Action body)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            try
            {
                body();
                done.SetResult();
            }
            catch (IOException failure)
            {
                done.SetException(failure);
            }
        });
        return done.Task;
    }

    /// <summary>What is ordered from now on comes after the order that follows: it may not be put into an order that is waiting before it.</summary>
    private void BeginEpoch()
    {
        lock (_gate)
        {
            Array.Clear(_callOrders);
            _configWrites = null;
        }
    }

    private EventFd? Take(int queue, CallOrder order)
    {
        lock (_gate)
        {
            if (_callOrders[queue] == order)
            {
                _callOrders[queue] = null;
            }

            return order.Call;
        }
    }

    private static long In(TimeSpan time) => Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);

    /// <summary>A change of a call descriptor that has not been carried out; a later one takes its place.</summary>
    private sealed class CallOrder
    {
        public EventFd? Call { get; set; }
    }
}
