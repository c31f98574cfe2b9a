using System.Collections.Concurrent;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>A device behind a real worker or another back-end, with guest memory.</summary>
internal sealed class WorkerRig : IDisposable
{
    private readonly ConcurrentQueue<string> _log = new();
    private int _needsReset;

    public WorkerRig(ushort type, string program, params string[] arguments)
        : this(type, new WorkerProcess(program, arguments))
    {
    }

    public WorkerRig(ushort type, IBackEnd backEnd)
    {
        Ram = GuestRam.Create(8 << 20);
        try
        {
            Device = VhostUserFunction.Open(
                new VhostUserOptions { Name = "dev0", DeviceId = type, Frontend = WorkerTuning.Frontend, Log = _log.Enqueue }, backEnd, Ram.Regions);
        }
        catch
        {
            Ram.Dispose();
            throw;
        }

        Device.NeedsReset += () => Interlocked.Increment(ref _needsReset);
    }

    public GuestRam Ram { get; }

    public VhostUserFunction Device { get; }

    public int NeedsReset => Volatile.Read(ref _needsReset);

    public string Log => string.Join('\n', _log);

    public static WorkerRig Disk(params string[] arguments) => new(VhostUserOptions.BlockDevice, BackEndPrograms.Block, ["--poll=off", .. arguments]);

    public static WorkerRig Net(params string[] arguments) => new(VhostUserOptions.NetDevice, BackEndPrograms.Net, ["--poll=off", .. arguments]);

    /// <summary>Kills the worker as a bug would.</summary>
    /// <returns>Its process id, which is no worker's any more.</returns>
    public int Kill()
    {
        int pid = Device.WorkerProcessId!.Value;
        Assert.Equal(0, LibC.kill(pid, 9));
        return pid;
    }

    public void Dispose()
    {
        Device.Dispose();
        Ram.Dispose();
    }
}
