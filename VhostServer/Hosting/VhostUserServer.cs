using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Paravane.VhostServer.Session;
using Paravane.VhostServer.Transport;
using Paravane.VhostServer.Workers;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Hosting;

/// <summary>Serves one device over vhost-user, one front-end at a time, without any hosting around it.</summary>
/// <remarks>Owns one session thread and the device's workers. Any thread may call the members; the device stays the caller's.</remarks>
public sealed class VhostUserServer : IDisposable
{
    private const int MaxThreadNameLength = 15; // of the kernel

    private readonly IVirtioDevice _device;
    private readonly VhostServerOptions _options;
    private readonly ILogger _log;
    private readonly SessionWaiter _waiter = new();
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly DeviceHealth _health;
    private readonly Thread _thread;
    private ServerEndpoint? _endpoint;
    private QueueWorker[] _workers = [];
    private int _state; // 0 new, 1 started, 2 disposed
    private volatile bool _isConnected;

    /// <summary>Makes a server; nothing is opened before <see cref="Start"/>.</summary>
    /// <exception cref="ArgumentException">The device's traits contradict each other.</exception>
    public VhostUserServer(IVirtioDevice device, VhostServerOptions options, ILogger? logger = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(options);
        VirtioDeviceTraits traits = device.Traits;
        if (traits.QueueCount is < 1 or > 256 || traits.WorkerCount < 1 || traits.ConfigSizeBytes is < 0 or > 256)
        {
            throw new ArgumentException($"{traits.QueueCount} queues, {traits.WorkerCount} workers, {traits.ConfigSizeBytes} bytes of config space", nameof(device));
        }

        for (int i = 0; i < traits.QueueCount; i++)
        {
            if (device.WorkerOf(i) is var worker && (worker < 0 || worker >= traits.WorkerCount))
            {
                throw new ArgumentException($"queue {i} belongs to worker {worker} of {traits.WorkerCount}", nameof(device));
            }
        }

        _device = device;
        _options = options;
        _log = logger is null ? NullLogger.Instance : new RateLimitedLogger(logger);
        _health = new DeviceHealth(traits.QueueCount);
        _thread = new Thread(Run) { Name = NameOf($"{traits.ThreadName}-session"), IsBackground = true };
    }

    /// <summary>Ends when the server has stopped: asked to, or after the one inherited connection. Faulted when it could not go on.</summary>
    public Task Completion => _completion.Task;

    /// <summary>True while a front-end is connected.</summary>
    public bool IsConnected => _isConnected;

    /// <summary>Opens the socket and starts serving. When it returns, front-ends can connect.</summary>
    /// <exception cref="UsageException">The options contradict each other.</exception>
    /// <exception cref="StartException">The socket cannot be opened.</exception>
    public void Start()
    {
        if (Interlocked.CompareExchange(ref _state, 1, 0) != 0)
        {
            throw new InvalidOperationException("the server was started or disposed before");
        }

        try
        {
            StartWorkers();
            _endpoint = new ServerEndpoint(_options);
        }
        catch
        {
            StopWorkers();
            _state = 0;
            throw;
        }

        _thread.Start();
    }

    /// <summary>Asks the server to stop and returns at once; <see cref="Completion"/> tells when it has.</summary>
    public void RequestStop() => _waiter.RequestStop();

    /// <summary>Stops: rings first, then the socket. Waits for I/O in flight.</summary>
    public void Stop()
    {
        RequestStop();
        if (Volatile.Read(ref _state) == 1)
        {
            _thread.Join();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop();
        if (Interlocked.Exchange(ref _state, 2) != 2)
        {
            _waiter.Dispose();
        }
    }

    private static string NameOf(string name) => name.Length <= MaxThreadNameLength ? name : name[..MaxThreadNameLength];

    private void StartWorkers()
    {
        VirtioDeviceTraits traits = _device.Traits;
        _workers = new QueueWorker[traits.WorkerCount];
        for (int i = 0; i < _workers.Length; i++)
        {
            int cpu = _options.Cpus.Count == 0 ? -1 : _options.Cpus[i % _options.Cpus.Count];
            _workers[i] = new QueueWorker(NameOf($"{traits.ThreadName}-w{i}"), traits.QueueCount, _options.Poll, cpu, _health, _waiter);
            try
            {
                _workers[i].Start();
            }
            catch (LinuxException failure)
            {
                throw new StartException($"--cpus={cpu}: {failure.Message}");
            }
        }
    }

    private void StopWorkers()
    {
        foreach (QueueWorker? worker in _workers)
        {
            if (worker is not null)
            {
                worker.Dispose();
                VhostServerLog.WorkerEnded(_log, worker.Name, worker.ServingBytes);
            }
        }

        _workers = [];
    }

    private void Run()
    {
        Exception? failure = null;
        try
        {
            ServeConnections();
        }
        catch (Exception unexpected)
        {
            failure = unexpected;
        }

        StopWorkers();
        _endpoint!.Dispose();
        if (failure is null)
        {
            _completion.SetResult();
        }
        else
        {
            _completion.SetException(failure);
        }
    }

    private void ServeConnections()
    {
        _waiter.Refused = () => VhostServerLog.FrontendRefused(_log);
        while (_endpoint!.Next(_waiter) is { } connection)
        {
            _isConnected = true;
            VhostServerLog.Connected(_log);
            _waiter.RefuseAt = _endpoint.Listener;
            try
            {
                using var session = new VhostSession(_device, _workers, _health, _waiter, connection, _options.MessageDeadline, _log);
                session.Run();
                _waiter.RefuseAt = null; // from here on the next front-end may queue up
            }
            finally
            {
                _waiter.RefuseAt = null;
                _isConnected = false;
            }

            VhostServerLog.Disconnected(_log);
        }
    }
}
