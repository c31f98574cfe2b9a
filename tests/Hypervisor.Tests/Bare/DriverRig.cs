using System.Diagnostics;
using Microsoft.Win32.SafeHandles;
using Paravane.Hypervisor.Bare.Driver;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Tests.Kvm;
using Paravane.Hypervisor.Tests.Virtio;
using Paravane.Hypervisor.Tests.Workers;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;
using Paravane.Peers;

namespace Paravane.Hypervisor.Tests.Bare;

/// <summary>A guest with the bare driver, and behind its devices real workers or back-ends that nobody here wrote.</summary>
internal sealed class DriverRig : IDisposable
{
    private static readonly TimeSpan s_foreignLifetime = TimeSpan.FromMinutes(3);

    private readonly KvmSystem _system;
    private readonly KvmVm _vm;
    private readonly string? _path;
    private readonly IDisposable? _foreign;
    private readonly TemporaryDirectory? _directory;
    private readonly List<VhostUserFunction> _functions = [];

    public DriverRig(DriverTransport transport, DiskWork? disk, NetWork? net, bool isForeign = false)
    {
        _system = BareGuest.OpenKvm();
        _vm = KvmVm.Create(_system);
        Machine = new DriverMachine(_vm, transport, disk, net);
        if (disk is not null)
        {
            _path = Path.GetTempFileName();
            Image = File.OpenHandle(_path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            RandomAccess.SetLength(Image, (long)disk.Blocks * DiskWork.BlockBytes);
        }

        if (isForeign)
        {
            _directory = TemporaryDirectory.Create();
            string socket = _directory.File("s");
            _foreign = disk is not null
                ? StorageDaemon.Start(socket, StorageDaemon.FileDisk(_path!, "threads"), 1, s_foreignLifetime)
                : NetPeer.StartVhost(socket, lifetime: s_foreignLifetime);
            Open(disk is not null ? VhostUserOptions.BlockDevice : VhostUserOptions.NetDevice, new SocketBackEnd(socket));
            return;
        }

        if (disk is not null)
        {
            Open(VhostUserOptions.BlockDevice, new WorkerProcess(BackEndPrograms.Block, [$"--blk-file={_path}"]));
        }

        if (net is not null)
        {
            Open(VhostUserOptions.NetDevice, new WorkerProcess(BackEndPrograms.Net, ["--net=loop"]));
        }
    }

    public DriverMachine Machine { get; }

    public SafeFileHandle? Image { get; }

    /// <summary>Starts the guest and waits until it runs.</summary>
    /// <returns>Exits until then.</returns>
    public long Start()
    {
        Machine.Prepare();
        Machine.Start([.. _functions]);
        Until(() => Machine.State == DriverState.Running);
        return Machine.Exits;
    }

    /// <summary>Waits for something in the guest's report.</summary>
    public void Until(Func<bool> condition)
    {
        long end = Stopwatch.GetTimestamp() + (long)(Wait.Limit.TotalSeconds * Stopwatch.Frequency);
        do
        {
            Machine.Refresh();
            Assert.Null(Machine.DescribeFault());
            Assert.Null(Machine.Stopped);
            if (condition())
            {
                return;
            }

            Thread.Yield();
        }
        while (Stopwatch.GetTimestamp() < end);
        Assert.Fail($"{Describe(Machine.Disk)}; {Describe(Machine.Net)}");
    }

    /// <summary>Has the guest finish and end.</summary>
    public void Finish()
    {
        Machine.RequestStop();
        Assert.True(Machine.Wait(Wait.Limit), "the guest does not end");
        Assert.Equal(new VmStop(VmStopKind.PowerOff, "the guest has ended"), Machine.Stopped);
        Machine.Refresh();
        Assert.Equal(DriverState.Done, Machine.State);
    }

    public void Dispose()
    {
        Machine.Stop();
        _functions.ForEach(function => function.Dispose());
        Machine.Dispose();
        _vm.Dispose();
        _system.Dispose();
        _foreign?.Dispose();
        _directory?.Dispose();
        Image?.Dispose();
        if (_path is not null)
        {
            File.Delete(_path);
        }
    }

    private static string Describe(LoadCounters counters) =>
        $"{counters.Sent} sent, {counters.Done} done, {counters.Verified} verified, {counters.Errors} errors: {counters.FirstError}";

    private void Open(ushort type, IBackEnd backEnd) => _functions.Add(VhostUserFunction.Open(
        new VhostUserOptions { Name = $"dev{type}", DeviceId = type, QueueLimit = 1, Frontend = WorkerTuning.Frontend },
        backEnd,
        Machine.Regions));
}
