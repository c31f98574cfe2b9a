using System.Diagnostics;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Peers;
using Paravane.VirtioQueues.Spec;

namespace Paravane.EndToEnd.Crash;

/// <summary>A front-end that keeps memory, rings and the record of requests in flight while its back-ends are killed and started again.</summary>
internal sealed class CrashingDevice : IDisposable
{
    private const int Killed = 9; // SIGKILL

    private readonly string _program;
    private readonly string _socket;
    private readonly string[] _options;
    private readonly ulong _features;
    private readonly FrontendQueue[] _queues;
    private ChildProcess _process;
    private VhostUserFrontend _frontend;
    private FrontendInflight _record;

    public CrashingDevice(string program, string socket, string[] options, ulong features, GuestRam ram, int queues, int queueSize, int indirectEntries = 0)
    {
        (_program, _socket, _options, _features) = (program, socket, options, features);
        Ram = ram;
        _process = BackEnd.Start(program, socket, options);
        _frontend = Connect();
        _queues = [.. Enumerable.Range(0, queues).Select(index => new FrontendQueue(ram, index, queueSize, features, indirectEntries))];
        _record = _frontend.GetInflight(queues, queueSize) ?? throw new InvalidOperationException("the back-end gives no record");
    }

    public GuestRam Ram { get; }

    public IReadOnlyList<FrontendQueue> Queues => _queues;

    /// <summary>Hands the rings over; their drivers must be open.</summary>
    public void Start()
    {
        _frontend.SetInflight(_record);
        foreach (FrontendQueue queue in _queues)
        {
            _frontend.SetVringEnable(queue.Index, enabled: true); // before they start: a ring of frames that is not enabled drops those that wait there
        }

        FrontendDevice.Start(_frontend, Ram, _queues);
    }

    /// <summary>Ends the back-end at whatever it is doing, and lets another one take over.</summary>
    /// <param name="whileAway">What the driver does in between: what the dead one has completed is not the next one's doing.</param>
    /// <returns>When the successor's socket was there.</returns>
    public long KillAndStartAgain(Action whileAway)
    {
        _process.Signal(Killed);
        _process.WaitForExit(TimeSpan.FromSeconds(20));
        _process.Dispose();
        _frontend.Dispose();
        whileAway();
        _process = BackEnd.Start(_program, _socket, _options);
        long there = Stopwatch.GetTimestamp();
        _frontend = Connect();
        Start();
        return there;
    }

    public void StopRings() => FrontendDevice.Stop(_frontend, _queues);

    public void Dispose()
    {
        _frontend.Dispose();
        _process.Dispose();
        _record.Dispose();
        foreach (FrontendQueue queue in _queues)
        {
            queue.Dispose();
        }
    }

    private VhostUserFrontend Connect()
    {
        VhostUserFrontend frontend = VhostUserFrontend.Connect(_socket, new FrontendOptions { ProtocolFeatures = FrontendOptions.Supported });
        frontend.SetFeatures(_features | VirtioFeatures.ProtocolFeatures);
        return frontend;
    }
}
