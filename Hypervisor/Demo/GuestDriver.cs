using System.Diagnostics;
using Microsoft.Win32.SafeHandles;
using Paravane.Hypervisor.Bare.Driver;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Launch;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Demo;

/// <summary>A guest on KVM as the driver: some hundred instructions which find both devices on the PCI bus, and drive and check them without an exit.</summary>
/// <remarks>The disk has a split ring, the network device a pair of packed rings.</remarks>
internal sealed class GuestDriver : IDemoDriver
{
    private static readonly TimeSpan s_tick = TimeSpan.FromMilliseconds(20);

    /// <summary>Longest wait for what is under way when the time is over.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    private readonly KvmSystem _system;
    private readonly KvmVm _vm;
    private readonly DriverMachine _machine;
    private readonly NetWork _net = new() { Format = RingFormat.Packed };
    private readonly List<VhostUserFunction> _functions = [];
    private readonly TimeSpan _startTime;
    private readonly long _privateBytes;
    private long _setUpExits;
    private long _steadyExits;

    /// <summary>Starts back-ends and guest.</summary>
    /// <param name="image">The disk's.</param>
    /// <exception cref="KvmException">KVM cannot be used here; nothing else was started.</exception>
    /// <exception cref="IOException">Something else failed.</exception>
    public GuestDriver(DemoImage image)
    {
        KvmSystem? system = null;
        KvmVm? vm = null;
        DriverMachine? machine = null;
        try
        {
            system = KvmSystem.Open();
            vm = KvmVm.Create(system);
            var disk = new DiskWork { Blocks = (int)(image.SizeBytes / DiskWork.BlockBytes), Seed = (ulong)Stopwatch.GetTimestamp() };
            machine = new DriverMachine(vm, DriverTransport.Pci, disk, _net);

            // Both back-ends start while the rest of the machine is made.
            Opening blocks = new(VhostUserOptions.BlockDevice, "disk", "paravane-blk", machine.Regions, $"--blk-file={image.Path}", "--num-queues=1");
            Opening frames = new(VhostUserOptions.NetDevice, "net", "paravane-net", machine.Regions, "--net=loop", "--queue-pairs=1");
            try
            {
                machine.Prepare();
            }
            finally
            {
                blocks.Join(_functions);
                frames.Join(_functions);
            }

            IOException? failure = blocks.Failure ?? frames.Failure;
            if (failure is not null)
            {
                throw new FrontendException(failure.Message, failure);
            }

            machine.Start([.. _functions]);
            _startTime = OwnProcess.TimeSinceStart();
            _privateBytes = OwnProcess.PrivateBytesWithout("paravane-guest");
            (_system, _vm, _machine) = (system, vm, machine);
        }
        catch
        {
            Release(machine, vm, system);
            throw;
        }
    }

    /// <inheritdoc/>
    public string Introduction =>
        $"A disk in process {_functions[0].WorkerProcessId} (paravane-blk) and a looping network device in process {_functions[1].WorkerProcessId} (paravane-net).\n"
        + $"/dev/kvm opens, so a guest of one vCPU in process {Environment.ProcessId} drives them: nothing but a virtio driver, at ring 3, behind virtio-pci.";

    /// <inheritdoc/>
    public void Run(int seconds, CancellationToken stop)
    {
        _machine.Refresh();
        long start = Stopwatch.GetTimestamp();
        while (_machine.State == DriverState.Starting)
        {
            Watch(TimeSpan.FromMilliseconds(1));
            if (Stopwatch.GetElapsedTime(start) > s_patience)
            {
                throw new FrontendException($"the guest's driver is not ready after {s_patience.TotalSeconds:0} s");
            }
        }

        _setUpExits = _machine.Exits;
        start = Stopwatch.GetTimestamp();
        var meters = new DemoMeters(seconds, "(the guest)", Meter(_machine.Disk, 0), Meter(_machine.Net, 1));
        for (int second = 1; second <= seconds && !stop.IsCancellationRequested;)
        {
            Watch(s_tick);
            if (Stopwatch.GetElapsedTime(start).TotalSeconds >= second)
            {
                meters.Show();
                second++;
            }
        }

        _steadyExits = _machine.Exits - _setUpExits;
        _machine.RequestStop();
        start = Stopwatch.GetTimestamp();
        while (!_machine.Wait(s_tick))
        {
            WatchBackEnds();
            if (Stopwatch.GetElapsedTime(start) > s_patience)
            {
                break;
            }
        }

        _machine.Refresh();
        Judge(_machine.Disk, "requests");
        Judge(_machine.Net, "frames");
        if (_machine.State != DriverState.Done)
        {
            throw new FrontendException($"the guest does not end: {_machine.DescribeFault() ?? _machine.Stopped?.Reason ?? "it goes on running"}");
        }
    }

    /// <inheritdoc/>
    public string? FindMismatch(SafeFileHandle image) => _machine.FindMismatch(image);

    /// <inheritdoc/>
    public void Finish()
    {
        _machine.Stop();
        _functions.ForEach(function => function.Close());
        _functions.ForEach(function => function.Dispose());
        _functions.Clear();
    }

    /// <inheritdoc/>
    public IEnumerable<string> Summary(long imageBytes) =>
    [
        $"  disk  {DemoView.Number(_machine.Disk.Done, "#,0")} requests on a split ring, {DemoView.Number(_machine.Disk.Verified, "#,0")} blocks read and compared by the guest with what it wrote;",
        $"        the image file of {imageBytes >> 20} MiB holds the same, read from outside the device",
        $"  net   {DemoView.Number(_machine.Net.Verified, "#,0")} frames of {_net.FrameBytes} bytes through a pair of packed rings and back: none lost, none twice, none out of order, every byte right",
        $"  exits {_steadyExits} to this process while all that flowed ({_setUpExits} before, to set the devices up);",
        $"        {DemoView.Number(_machine.KicksOf(DriverDevice.Disk) + _machine.KicksOf(DriverDevice.Net), "#,0")} kicks went from the guest through the kernel straight to the back-ends",
        $"  start {DemoView.Number(_startTime.TotalMilliseconds, "0.0")} ms from the start of this process to the guest's first instruction; "
            + $"{DemoView.Number(_privateBytes / 1048576.0, "0.0")} MiB of private memory beside the guest's",
    ];

    /// <inheritdoc/>
    public void Dispose() => Release(_machine, _vm, _system);

    private DemoMeter Meter(LoadCounters counters, int function) =>
        new([counters], () => _functions[function].WorkerProcessId is { } pid ? ChildProcess.ProcessorTimeOf(pid) : null);

    /// <summary>Waits a moment, and sees to it that the run goes on.</summary>
    private void Watch(TimeSpan time)
    {
        bool hasEnded = _machine.Wait(time);
        _machine.Refresh();
        WatchBackEnds();
        if (hasEnded)
        {
            throw new FrontendException(_machine.DescribeFault() ?? $"the guest ended too early: {_machine.Stopped?.Reason}");
        }
    }

    /// <summary>A machine would go on with the next back-end; here nothing is to be glossed over.</summary>
    private void WatchBackEnds()
    {
        foreach (VhostUserFunction function in _functions)
        {
            if (function.Counters is { Losses: > 0, FirstError: { } reason })
            {
                throw new FrontendException(reason);
            }
        }
    }

    private static void Judge(LoadCounters counters, string what)
    {
        if (counters.Errors != 0 || counters.Done != counters.Sent)
        {
            throw new FrontendException($"{counters.Errors} errors, {counters.Sent - counters.Done} {what} lost: {counters.FirstError ?? "they did not come back"}");
        }
    }

    private void Release(DriverMachine? machine, KvmVm? vm, KvmSystem? system)
    {
        machine?.Stop();
        _functions.ForEach(function => function.Dispose());
        _functions.Clear();
        machine?.Dispose();
        vm?.Dispose();
        system?.Dispose();
    }

    /// <summary>A device that is opened on a thread of its own: it waits for its process to come up.</summary>
    private sealed class Opening
    {
        private readonly Thread _thread;
        private VhostUserFunction? _function;

        public Opening(ushort type, string name, string program, IReadOnlyList<GuestRamRegion> memory, params string[] arguments)
        {
            _thread = new Thread(() =>
            {
                try
                {
                    _function = VhostUserFunction.Open(
                        new VhostUserOptions { Name = name, DeviceId = type, QueueLimit = 1, Frontend = WorkerTuning.Frontend },
                        new WorkerProcess(WorkerProcess.Find(program), arguments),
                        memory);
                }
                catch (IOException failure)
                {
                    Failure = failure;
                }
            })
            { Name = $"open-{name}" };
            _thread.Start();
        }

        public IOException? Failure { get; private set; }

        public void Join(List<VhostUserFunction> functions)
        {
            _thread.Join();
            if (_function is not null)
            {
                functions.Add(_function);
            }
        }
    }
}
