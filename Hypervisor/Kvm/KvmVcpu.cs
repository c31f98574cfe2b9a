using Paravane.Hypervisor.Kvm.Abi;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <summary>One virtual processor and the thread that runs it. Made, ordered about and disposed by <see cref="VcpuGroup"/>.</summary>
/// <remarks>
/// The thread owns the vCPU while it runs. While it is paused, any one thread may read and set its state. Orders and the pause are guarded by
/// the group's gate.
/// </remarks>
internal sealed unsafe partial class KvmVcpu : IDisposable
{
    /// <summary>The loop is flat and devices are not deep.</summary>
    private const int StackBytes = 512 << 10;

    private readonly VcpuGroup _group;
    private readonly KvmVm _vm;
    private readonly FileDescriptor _file;
    private readonly Mapping _mapping;
    private readonly KvmRun* _run;
    private readonly object _gate;
    private Thread? _thread;
    private int _threadId;
    private volatile VcpuOrder _order = VcpuOrder.Pause;
    private bool _isParked = true;

    internal KvmVcpu(VcpuGroup group, KvmVm vm, int id, object gate)
    {
        _group = group;
        _vm = vm;
        _gate = gate;
        Id = id;
        _file = new FileDescriptor(KvmNative.Call(vm.File, KvmIoctl.CreateVcpu, (nuint)id, "KVM_CREATE_VCPU"));
        try
        {
            _mapping = Mapping.OfFile(_file, 0, (nuint)vm.Host.VcpuMappingBytes);
            _run = (KvmRun*)_mapping.Address;
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    /// <summary>Number of the vCPU and of its APIC; 0 is the one that boots.</summary>
    public int Id { get; }

    /// <summary>What it came back for.</summary>
    public VcpuCounters Counters { get; } = new();

    /// <summary>True on the vCPU's own thread.</summary>
    internal bool IsCurrentThread => _thread == Thread.CurrentThread;

    /// <summary>Stands still, with no access half done, and will until there is another order. Under the gate.</summary>
    internal bool IsParked => _isParked && _order == VcpuOrder.Pause;

    /// <summary>Starts the thread, which pauses. Once.</summary>
    internal void StartThread()
    {
        _isParked = false;
        _thread = new Thread(Live, StackBytes) { IsBackground = true, Name = $"vcpu{Id}" };
        _thread.Start();
    }

    /// <summary>Gives an order, which interrupts what the vCPU does. Under the gate.</summary>
    internal void Order(VcpuOrder order)
    {
        _order = order;
        if (order == VcpuOrder.Run)
        {
            return; // it waits at the gate
        }

        // The byte stops a KVM_RUN that is about to begin, the signal one that has begun: the kernel looks at the byte after it could have taken
        // the signal, so there is no moment in between.
        Volatile.Write(ref _run->ImmediateExit, 1);
        if (_threadId != 0)
        {
            VcpuKick.Send(_threadId);
        }
    }

    /// <summary>Waits for the end of the thread after <see cref="VcpuOrder.End"/>. Not under the gate.</summary>
    internal void Join() => _thread?.Join();

    /// <inheritdoc/>
    public void Dispose()
    {
        _mapping.Dispose();
        _file.Dispose();
    }
}
