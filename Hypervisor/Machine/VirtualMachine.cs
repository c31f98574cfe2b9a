using System.Collections.Concurrent;
using System.Numerics;
using Paravane.Hypervisor.Acpi;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Legacy;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Pci;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Machine;

/// <summary>A whole virtual machine: KVM, memory, vCPUs, the few devices of a PC that Linux insists on, and virtio devices whose queues others serve.</summary>
/// <remarks>
/// One thread, that of <see cref="Run"/>, makes all decisions about the machine as a whole; everybody else leaves orders
/// (<see cref="InvokeAsync{T}"/>, <see cref="PressPowerButton"/>, <see cref="Quit"/>). vCPUs only ever leave an order and go on, or stop.
/// </remarks>
internal sealed partial class VirtualMachine : IDisposable
{
    /// <summary>Why <see cref="Quit"/> ended a machine.</summary>
    public const string AskedToEnd = "asked to end";

    private readonly MachineOptions _options;
    private readonly Action<string> _log;
    private readonly BlockingCollection<Action> _orders = [];
    private readonly CancellationTokenSource _ending = new(); // never disposed: whoever holds the machine may ask it to end when it has
    private readonly List<IDisposable> _owned = []; // in the order of making
    private readonly KernelImage _kernel;
    private readonly BootFile? _initrd;
    private readonly KvmVm _vm;
    private readonly MachineMemory _memory;
    private readonly ulong _ramBytes; // at the start; what is added later is announced by ACPI
    private readonly AddressBus _ports = new();
    private readonly AddressBus _windows = new();
    private readonly GuestConsole _console;
    private readonly Serial16550 _serial;
    private readonly EventDevice _events;
    private readonly PciBus? _pci;
    private readonly InterruptForwarder _forwarder = new();
    private readonly List<MachineDevice> _devices = [];
    private readonly List<Task<VhostUserFunction>> _openings = []; // until they are attached
    private readonly Task _givingMemory = Task.CompletedTask;
    private readonly VcpuGroup _vcpus;
    private readonly BootState _boot; // of the first start
    private VmStop? _end;
    private bool _isPaused;
    private bool _isDisposed;
    private int _memorySlots; // hot-plugged so far
    private long _restarts;
    private long _tripleFaults;

    /// <summary>Makes a machine that does not run yet. When it fails, nothing is left behind.</summary>
    /// <param name="options">What the user wants.</param>
    /// <param name="log">Takes one line about something that the user should know. Any thread.</param>
    /// <exception cref="IOException">Something is missing, damaged or refused; one line says what.</exception>
    public VirtualMachine(MachineOptions options, Action<string> log)
    {
        _options = options;
        _log = log;
        try
        {
            // First what the user may have got wrong and costs nothing, then what leaves traces.
            RequirePlaces(options.Transport, options.Devices.Count);
            _kernel = Own(KernelImage.Open(options.KernelPath));
            _initrd = options.InitrdPath is null ? null : Own(BootFile.Open("initrd", options.InitrdPath));
            BootLoader.Check(_kernel, _initrd, CommandLine, MachineMemory.RoundUp(options.MemoryBytes), Entry);
            KvmSystem kvm = Own(KvmSystem.Open());
            _memory = Own(MachineMemory.Create(options.MemoryBytes, options.HugePages, options.Prefault));
            _ramBytes = _memory.SizeBytes;
            Times.End("memory");

            // What takes long is waiting: for workers to come up, and in KVM for all processors of the host before it has memory. All at once.
            BeginOpening();
            _vm = Own(KvmVm.Create(kvm));
            _givingMemory = Task.Factory.StartNew(GiveMemory, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            Own(_forwarder);
            _console = Own(options.ConsolePath is null ? GuestConsole.OnStandardStreams() : OpenConsole(options.ConsolePath));
            _serial = new Serial16550(_console.Output, _vm.Interrupts, AddressMap.SerialGsi);
            _events = new EventDevice(_vm.Interrupts, HotPlugSlots, slot => _pci?.Remove(slot));
            AddPlatform();
            if (options.Transport == Transport.Pci)
            {
                RequireAddresses(GuestCpuid.PhysicalAddressBits(kvm.SupportedCpuid()));
                _pci = new PciBus(_windows, _vm.Interrupts);
                _pci.Removed += (slot, _) => Post(() => Forget(slot));
                _ports.Add(PciConfigPorts.FirstPort, PciConfigPorts.PortCount, _pci.Ports, "pci");
                _windows.Add(AddressMap.Ecam, AddressMap.EcamBytes, _pci.Ecam, "ecam");
            }

            _vcpus = VcpuGroup.Create(_vm, _memory, options.Cpus, _ports, _windows, stop => Post(() => Handle(stop)));
            Times.End("kvm");
            _boot = LoadGuest();
            Times.End("kernel");
            _givingMemory.GetAwaiter().GetResult();
            Times.End("kvm_memory");
            AttachOpened();
            Times.End("workers");
        }
        catch
        {
            Release();
            throw;
        }
    }

    /// <summary>How long the start took.</summary>
    public StartTimes Times { get; } = new();

    /// <summary>Starts the vCPUs, and stays until the machine has ended.</summary>
    /// <returns>How it ended.</returns>
    /// <exception cref="IOException">KVM refused something.</exception>
    public VmStop Run()
    {
        _console.Connect(_serial, Quit);
        _vcpus.Start(_boot);
        Times.Finish();
        while (_end is null)
        {
            _orders.Take()();
        }

        return _end;
    }

    /// <summary>Presses the power button, as ACPI tells it to the guest. Any thread.</summary>
    public void PressPowerButton() => Post(_events.PressPowerButton);

    /// <summary>Ends the machine as if its plug were pulled. Any thread.</summary>
    public void Quit()
    {
        Post(() => _end ??= new VmStop(VmStopKind.PowerOff, AskedToEnd));
        _ending.Cancel(); // the machine's thread may be waiting for a worker to come up
    }

    /// <summary>Has the machine's thread do something. Any other thread.</summary>
    /// <returns>Completes with the result, or with the exception of <paramref name="body"/>; is cancelled when the machine ends first.</returns>
    public Task<T> InvokeAsync<T>(Func<VirtualMachine, T> body)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        void Carry()
        {
            if (_end is not null)
            {
                done.SetCanceled();
                return;
            }

            try
            {
                done.SetResult(body(this));
            }
            catch (Exception failure)
            {
                done.SetException(failure); // whatever it is: it concerns who asked, and not the guest
            }
        }

        if (!TryPost(Carry))
        {
            done.SetCanceled();
        }

        return done.Task;
    }

    /// <summary>Ends the machine, its workers and whatever else it made. The thread of <see cref="Run"/>, or before it runs.</summary>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        _end ??= new VmStop(VmStopKind.PowerOff, AskedToEnd);
        _orders.CompleteAdding();
        foreach (Action order in _orders.GetConsumingEnumerable())
        {
            order(); // the machine has ended: whoever waits hears so
        }

        Release();
    }

    private string CommandLine => KernelCommandLine.Compose(_options.Transport == Transport.Pci, _options.Append);

    private EntryChoice Entry => _options.Pvh ? EntryChoice.Pvh : EntryChoice.Automatic;

    private uint HotPlugSlots => _options.Transport == Transport.Pci ? uint.MaxValue & ~1u : 0;

    private T Own<T>(T part)
        where T : IDisposable
    {
        _owned.Add(part);
        return part;
    }

    private static GuestConsole OpenConsole(string path)
    {
        try
        {
            return GuestConsole.IntoFile(path);
        }
        catch (LinuxException failure)
        {
            throw new MachineException($"the console's file '{path}' cannot be written: {Errno.TextOf(failure.Errno)}", failure);
        }
    }

    /// <summary>BARs lie high: a guest whose processor cannot name their addresses would find devices that never answer.</summary>
    /// <param name="bits">Width of guest physical addresses.</param>
    /// <exception cref="MachineException">They are too narrow.</exception>
    internal static void RequireAddresses(int bits)
    {
        int needed = 64 - BitOperations.LeadingZeroCount(AddressMap.Pci64End - 1);
        if (bits < needed)
        {
            throw new MachineException($"this host's processor has addresses of {bits} bits, and PCI devices need {needed}: start the machine with --transport=mmio");
        }
    }

    private void GiveMemory()
    {
        foreach (MemoryBank bank in _memory.Banks)
        {
            _vm.AddMemory(bank);
        }
    }

    /// <summary>What a PC has: serial port, keyboard controller, ACPI's registers.</summary>
    private void AddPlatform()
    {
        void Request(PowerRequest request) => _vcpus.RequestStop(
            request == PowerRequest.Off ? VmStopKind.PowerOff : VmStopKind.Reset,
            request == PowerRequest.Off ? "the guest switched itself off" : "the guest restarted");

        _ports.Add(AddressMap.SerialPort, Serial16550.PortCount, _serial, "serial");
        _ports.Add(I8042.FirstPort, I8042.PortCount, new I8042(Request), "i8042");
        _ports.Add(AddressMap.SleepPort, PowerControl.PortCount, new PowerControl(Request), "power");
        _windows.Add(AddressMap.EventPage, EventDevice.LengthBytes, _events, "events");
    }

    /// <summary>Tables and kernel into memory, at each start of the guest anew.</summary>
    private BootState LoadGuest()
    {
        var plan = new AcpiPlan
        {
            CpuCount = _options.Cpus,
            HasPci = _pci is not null,
            HotPlugSlots = HotPlugSlots,
            PciPins = _pci is null ? [] : [.. Enumerable.Range(1, PciBus.SlotCount - 1).Select(slot => new PciPin(slot, 0, IntxLines.GsiOf(slot)))],
            MmioDevices = _pci is null ? [.. Enumerable.Range(0, _options.Devices.Count).Select(place => new MmioDevice(WindowOf(place), GsiOf(place)))] : [],
            MemorySlots = EventDevice.MaxMemorySlots,
        };
        ulong rsdp = AcpiTables.Write(plan, _memory.Table);
        return BootLoader.Load(_kernel, _initrd, CommandLine, _memory.Table, _ramBytes, rsdp, Entry);
    }

    private void Handle(VmStop stop)
    {
        if (_end is not null)
        {
            return; // nobody starts a guest anew whose plug was pulled
        }

        if (stop.Kind is VmStopKind.Reset or VmStopKind.TripleFault && !_options.EndOnReset)
        {
            Restart(stop.Kind);
        }
        else
        {
            _end = stop;
        }
    }

    /// <summary>The guest starts anew. Workers, memory and connections stay.</summary>
    private void Restart(VmStopKind cause)
    {
        if (cause == VmStopKind.TripleFault && _tripleFaults++ == 0)
        {
            _log("the guest took a triple fault and is started anew; further ones are counted"); // no guest means to
        }

        _vcpus.Pause();
        try
        {
            ResetDevices();
            foreach (MachineDevice device in _devices.FindAll(device => device.IsLeaving))
            {
                _pci!.Remove(device.Place); // the guest was asked to let it go, and has
            }

            _serial.Reset();
            _events.Reset();
            _vcpus.Reset(LoadGuest());
            _restarts++;
            if (!_isPaused)
            {
                _vcpus.Resume();
            }
        }
        catch (IOException failure)
        {
            _end ??= new VmStop(VmStopKind.Fault, $"the guest cannot be started again: {failure.Message}");
        }
    }

    private void Post(Action order) => TryPost(order);

    private bool TryPost(Action order)
    {
        try
        {
            _orders.Add(order);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false; // the machine has ended
        }
    }

    /// <summary>Gives everything back: vCPUs first, so that nobody touches what goes away.</summary>
    private void Release()
    {
        _ending.Cancel();
        _vcpus?.Dispose();
        Task.WaitAny(_givingMemory); // does not throw
        CloseDevices();
        GiveUpOpenings();
        foreach (IDisposable part in Enumerable.Reverse(_owned))
        {
            part.Dispose();
        }
    }
}
