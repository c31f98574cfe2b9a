using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.Hypervisor.Memory;

namespace Paravane.Hypervisor.Kvm;

/// <summary>All vCPUs of a machine: started, paused, reset and ended together.</summary>
/// <remarks>
/// Orders come from one thread at a time which is none of the vCPUs'; <see cref="RequestStop"/> from any. No order waits longer than the
/// slowest device takes for one access.
/// </remarks>
internal sealed class VcpuGroup : IDisposable
{
    /// <summary>Ids up to here are the same for every kind of APIC, table and processor; beyond, each has rules of its own.</summary>
    public const int MaxVcpus = 254;

    private readonly object _gate = new();
    private readonly KvmVm _vm;
    private readonly KvmVcpu[] _vcpus;
    private readonly Action<VmStop> _onStop;
    private volatile VmStop? _stopped;
    private bool _isStarted;

    private VcpuGroup(KvmVm vm, MachineMemory ram, int count, AddressBus ports, AddressBus memory, Action<VmStop> onStop)
    {
        _vm = vm;
        _onStop = onStop;
        Ram = ram;
        Ports = ports;
        Memory = memory;
        _vcpus = new KvmVcpu[count];
    }

    /// <summary>Number of vCPUs.</summary>
    public int Count => _vcpus.Length;

    /// <summary>How the run ended; null while nothing ended it. <see cref="Reset"/> begins a new one.</summary>
    public VmStop? Stopped => _stopped;

    /// <summary>The machine's RAM.</summary>
    internal MachineMemory Ram { get; }

    /// <summary>Who answers at ports.</summary>
    internal AddressBus Ports { get; }

    /// <summary>Who answers at memory that is no RAM.</summary>
    internal AddressBus Memory { get; }

    /// <summary>vCPU <paramref name="id"/>.</summary>
    public KvmVcpu this[int id] => _vcpus[id];

    /// <summary>Makes vCPUs, which do not run yet.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="ram">Its RAM, for boot tables and for what is told about a fault. Given to <paramref name="vm"/> by the caller.</param>
    /// <param name="count">1 to <see cref="MaxVcpus"/>.</param>
    /// <param name="ports">Who answers at ports.</param>
    /// <param name="memory">Who answers at memory that is no RAM.</param>
    /// <param name="onStop">
    /// Called once for each run that ends by itself, when all vCPUs were told to pause. On a vCPU's thread or that of <see cref="RequestStop"/>'s caller:
    /// it may set a flag or signal an eventfd, and must not give orders.
    /// </param>
    /// <exception cref="KvmException">The host cannot have so many, or lacks something.</exception>
    /// <exception cref="IOException">KVM refused.</exception>
    public static VcpuGroup Create(KvmVm vm, MachineMemory ram, int count, AddressBus ports, AddressBus memory, Action<VmStop> onStop)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        int most = Math.Min(MaxVcpus, vm.Host.MaxVcpus);
        if (count > most)
        {
            throw new KvmException($"{count} vCPUs are too many: {most} are possible on this host");
        }

        VcpuKick.Install();
        var group = new VcpuGroup(vm, ram, count, ports, memory, onStop);
        try
        {
            for (int id = 0; id < count; id++)
            {
                group._vcpus[id] = new KvmVcpu(group, vm, id, group._gate);
            }

            KvmCpuidEntry[] supported = vm.Host.SupportedCpuid();
            uint[] msrs = vm.Host.MsrIndices();
            foreach (KvmVcpu vcpu in group._vcpus)
            {
                vcpu.SetUp(GuestCpuid.For(supported, vcpu.Id, count), msrs);
            }

            return group;
        }
        catch
        {
            group.Dispose();
            throw;
        }
    }

    /// <summary>Starts the machine: the first vCPU as <paramref name="boot"/> says, the others when the guest starts them.</summary>
    /// <exception cref="InvalidOperationException">It was started before.</exception>
    /// <exception cref="IOException">KVM refused, or the boot tables have no memory.</exception>
    public void Start(BootState boot)
    {
        if (_isStarted)
        {
            throw new InvalidOperationException("started before");
        }

        BootRegisters.WriteTables(Ram.Table, boot.Mode);
        _vcpus[0].SetBootRegisters(boot);
        _isStarted = true;
        foreach (KvmVcpu vcpu in _vcpus)
        {
            vcpu.StartThread();
        }

        OrderAll(VcpuOrder.Run);
    }

    /// <summary>Takes all vCPUs out of the guest and waits until each stands still with no access half done.</summary>
    public void Pause()
    {
        RequireOutside();
        lock (_gate)
        {
            OrderAll(VcpuOrder.Pause);
            while (!Array.TrueForAll(_vcpus, vcpu => vcpu.IsParked))
            {
                Monitor.Wait(_gate);
            }
        }
    }

    /// <summary>Lets a paused machine go on.</summary>
    /// <exception cref="InvalidOperationException">It was not started, or its run has ended: it needs a <see cref="Reset"/>.</exception>
    public void Resume()
    {
        lock (_gate)
        {
            if (!_isStarted || _stopped is not null)
            {
                throw new InvalidOperationException(_isStarted ? "the run has ended" : "not started");
            }

            if (Array.TrueForAll(_vcpus, vcpu => vcpu.IsParked))
            {
                Array.ForEach(_vcpus, vcpu => vcpu.TellPause());
            }

            OrderAll(VcpuOrder.Run);
        }
    }

    /// <summary>
    /// Takes vCPUs, interrupt controllers and timer of a paused machine back to where they were when switched on, and begins with
    /// <paramref name="boot"/>. The machine stays paused; memory, doorbells and message routes stay as they are.
    /// </summary>
    /// <exception cref="InvalidOperationException">It is not paused.</exception>
    /// <exception cref="IOException">KVM refused.</exception>
    public void Reset(BootState boot)
    {
        lock (_gate)
        {
            if (!Array.TrueForAll(_vcpus, vcpu => vcpu.IsParked))
            {
                throw new InvalidOperationException("not paused");
            }

            // First all local APICs, so that none takes what the controllers give when their state is set.
            Array.ForEach(_vcpus, vcpu => vcpu.Reset());
            _vm.Reset();
            BootRegisters.WriteTables(Ram.Table, boot.Mode);
            _vcpus[0].SetBootRegisters(boot);
            _stopped = null;
        }
    }

    /// <summary>Ends the run: tells all vCPUs to pause and calls the machine's owner. Does not wait. Only the first call of a run has an effect.</summary>
    /// <param name="kind">Why.</param>
    /// <param name="reason">The same for people, one line.</param>
    public void RequestStop(VmStopKind kind, string reason)
    {
        var stop = new VmStop(kind, reason);
        lock (_gate)
        {
            if (_stopped is not null)
            {
                return;
            }

            _stopped = stop;
            OrderAll(VcpuOrder.Pause);
        }

        _onStop(stop);
    }

    /// <summary>Ends all threads and closes the vCPUs.</summary>
    public void Dispose()
    {
        RequireOutside();
        OrderAll(VcpuOrder.End);
        foreach (KvmVcpu? vcpu in _vcpus)
        {
            vcpu?.Join();
            vcpu?.Dispose();
        }
    }

    private void OrderAll(VcpuOrder order)
    {
        lock (_gate)
        {
            foreach (KvmVcpu? vcpu in _vcpus)
            {
                vcpu?.Order(order); // null: not all could be made
            }

            Monitor.PulseAll(_gate);
        }
    }

    private void RequireOutside()
    {
        if (Array.Exists(_vcpus, vcpu => vcpu?.IsCurrentThread ?? false))
        {
            throw new InvalidOperationException("a vCPU cannot wait for itself");
        }
    }
}
