using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Pci;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>A machine of one vCPU in which nothing runs but <see cref="DriverProgram"/>, with a disk and a network device behind a transport.</summary>
/// <remarks>One thread. The guest runs by itself: what it counts is read from its memory, and it is never interrupted for that.</remarks>
internal sealed class DriverMachine : IBusDevice, IDisposable
{
    private readonly KvmVm _vm;
    private readonly MachineMemory _ram;
    private readonly AddressBus _ports = new(), _windows = new();
    private readonly InterruptForwarder _forwarder = new();
    private readonly ManualResetEventSlim _ended = new();
    private readonly List<VirtioMmio> _mmio = [];
    private readonly List<int> _slots = [];
    private readonly byte[] _report = new byte[DriverLayout.ReportBytes];
    private readonly DriverTransport _transport;
    private readonly DiskWork? _disk;
    private readonly NetWork? _net;
    private PciBus? _pci;
    private VcpuGroup? _vcpus;
    private long _exits; // of a machine that has stopped

    /// <summary>Makes the machine without devices.</summary>
    /// <param name="vm">Virtual machine without memory; the caller's.</param>
    /// <param name="transport">How the guest reaches its devices.</param>
    /// <param name="disk">Work for a disk, or null without one.</param>
    /// <param name="net">Work for a network device, or null without one.</param>
    /// <exception cref="IOException">There is no memory.</exception>
    public DriverMachine(KvmVm vm, DriverTransport transport, DiskWork? disk, NetWork? net)
    {
        _vm = vm;
        _transport = transport;
        _disk = disk;
        _net = net;
        _ram = MachineMemory.Create(DriverLayout.RamBytes);
        _vm.AddMemory(_ram.Banks[0]);
    }

    /// <summary>Guest memory as back-ends map it.</summary>
    public IReadOnlyList<GuestRamRegion> Regions => _ram.Regions;

    /// <summary>Guest memory.</summary>
    public GuestMemory Memory => _ram.Table;

    /// <summary>What the disk's part of the guest counted at the last <see cref="Refresh"/>.</summary>
    public LoadCounters Disk { get; } = new();

    /// <summary>The same of the network's part.</summary>
    public LoadCounters Net { get; } = new();

    /// <summary>How far the guest was at the last <see cref="Refresh"/>.</summary>
    public DriverState State => (DriverState)Word(DriverLayout.State);

    /// <summary>Times that the vCPU came back to this process with a request of the guest.</summary>
    public long Exits => _vcpus?[0].Counters.Exits ?? _exits;

    /// <summary>How the run ended, null while it goes on.</summary>
    public VmStop? Stopped => _vcpus?.Stopped;

    /// <summary>Kicks that the guest wrote, each into a doorbell of the kernel.</summary>
    public long KicksOf(DriverDevice device) => Word(DriverLayout.CountersOf(device) + DriverLayout.Kicks);

    /// <summary>Makes all that needs no device, so that devices may come up meanwhile. Once, before <see cref="Start"/>.</summary>
    /// <exception cref="IOException">KVM refused something.</exception>
    public void Prepare()
    {
        _ports.Add(DriverLayout.ExitPort, 1, this, "exit");
        if (_transport == DriverTransport.Pci)
        {
            _pci = new PciBus(_windows, _vm.Interrupts);
            _windows.Add(AddressMap.Ecam, AddressMap.EcamBytes, _pci.Ecam, "ecam");
        }

        _vcpus = VcpuGroup.Create(_vm, _ram, 1, _ports, _windows, _ => _ended.Set());
        byte[] code = DriverProgram.Write(_transport, _disk, _net, _vcpus[0].TscKilohertz);
        if ((ulong)code.Length > DriverLayout.Report - DriverLayout.Code || !Memory.TryWrite(new GuestAddress(DriverLayout.Code), code))
        {
            throw new InvalidOperationException($"{code.Length} bytes of code have no room"); // a fault of ours
        }
    }

    /// <summary>Starts the guest.</summary>
    /// <param name="functions">Its devices, which stay the caller's.</param>
    /// <exception cref="IOException">KVM refused something.</exception>
    public void Start(params ReadOnlySpan<IVirtioFunction> functions)
    {
        foreach (IVirtioFunction function in functions)
        {
            Attach(function);
        }

        _vcpus!.Start(new BootState(BootMode.LongUser, DriverLayout.Code, Parameter: 0));
    }

    /// <summary>Tells the guest to send nothing more, and to end when all has come back.</summary>
    public void RequestStop() => Memory.TryWrite(new GuestAddress(DriverLayout.Report + DriverLayout.Stop), [1]);

    /// <summary>Waits for the end of the run.</summary>
    /// <returns>False when it goes on.</returns>
    public bool Wait(TimeSpan time) => _ended.Wait(time);

    /// <summary>Reads the guest's report. Counters of one moment may differ by what is done in some microseconds.</summary>
    public void Refresh()
    {
        Memory.TryRead(new GuestAddress(DriverLayout.Report), _report);
        Take(DriverDevice.Disk, Disk);
        Take(DriverDevice.Net, Net);
    }

    /// <summary>Why the guest gave up before it ran, one line; null: it did not.</summary>
    public string? DescribeFault() => (DriverFault)Word(DriverLayout.Fault) is var fault and not DriverFault.None
        ? $"the guest's driver gave up on the {Name((DriverDevice)Word(DriverLayout.FaultDevice))}: {Explain(fault)}"
        : null;

    /// <summary>Compares the disk's image with what the guest wrote last. After the run.</summary>
    /// <returns>Null, or a sentence about the first difference.</returns>
    public string? FindMismatch(SafeFileHandle image)
    {
        if (_disk is not { } disk)
        {
            return null;
        }

        Span<uint> generations = new uint[disk.Blocks];
        Memory.TryRead(new GuestAddress(DriverLayout.Generations), MemoryMarshal.AsBytes(generations));
        byte[] block = new byte[DiskWork.BlockBytes];
        for (int i = 0; i < generations.Length; i++)
        {
            long start = (long)i * DiskWork.BlockBytes;
            if (generations[i] == 0)
            {
                continue;
            }

            int length = RandomAccess.Read(image, block, start);
            int at = length < block.Length ? length : BlockPattern.FindMismatch(block, disk.Seed, (ulong)i * DiskWork.SectorsPerBlock, generations[i]);
            if (at >= 0)
            {
                return $"the image differs from what was written to block {i}, from byte {start + at} of the file on";
            }
        }

        return null;
    }

    /// <inheritdoc/>
    void IBusDevice.Read(ulong offset, Span<byte> data) => data.Fill(0xFF);

    /// <inheritdoc/>
    void IBusDevice.Write(ulong offset, ReadOnlySpan<byte> data) => _vcpus?.RequestStop(VmStopKind.PowerOff, "the guest has ended");

    /// <summary>Ends the vCPU and takes the devices out; then their owner may dispose them.</summary>
    public void Stop()
    {
        if (_vcpus is not null)
        {
            _exits = Exits;
            _vcpus.Dispose();
            _vcpus = null;
        }

        foreach (int slot in _slots)
        {
            _pci!.Remove(slot);
        }

        _slots.Clear();
        foreach (VirtioMmio window in _mmio)
        {
            window.Reset(static () => { });
        }
    }

    /// <inheritdoc/>
    /// <remarks>After its devices.</remarks>
    public void Dispose()
    {
        Stop();
        _mmio.ForEach(window => window.Dispose());
        _forwarder.Dispose();
        _ended.Dispose();
        _ram.Dispose();
    }

    private void Attach(IVirtioFunction function)
    {
        if (_pci is null)
        {
            ulong window = AddressMap.VirtioMmio + ((ulong)_mmio.Count * AddressMap.VirtioMmioStride);
            var mmio = new VirtioMmio(function, window, AddressMap.FirstDeviceGsi + _mmio.Count, _vm.Interrupts, _vm);
            _mmio.Add(mmio);
            _windows.Add(window, VirtioMmio.WindowBytes, mmio, "virtio");
        }
        else if (_pci.TryAdd(new VirtioPci("virtio", function, _vm.Interrupts, _vm, _forwarder), out int slot))
        {
            _slots.Add(slot);
        }
    }

    private void Take(DriverDevice device, LoadCounters counters)
    {
        int start = DriverLayout.CountersOf(device);
        var totals = new LoadTotals(
            Word(start + DriverLayout.Done), Word(start + DriverLayout.Bytes), Word(start + DriverLayout.Sent), Word(start + DriverLayout.Errors), Word(start + DriverLayout.Verified));
        ReadOnlySpan<long> latency = MemoryMarshal.Cast<byte, long>(_report.AsSpan(DriverLayout.HistogramOf(device), LatencyHistogram.BucketCount * sizeof(long)));
        counters.Set(totals, latency, DescribeError(device, start));
    }

    private string? DescribeError(DriverDevice device, int start)
    {
        var kind = (DriverFault)Word(start + DriverLayout.FirstKind);
        return kind == DriverFault.None
            ? null
            : $"{Name(device)}: {Explain(kind)}, first at {(device == DriverDevice.Disk ? "block" : "frame")} {Word(start + DriverLayout.FirstPlace)}: "
                + $"0x{Word(start + DriverLayout.FirstFound):x} instead of 0x{Word(start + DriverLayout.FirstWanted):x}";
    }

    private long Word(int offset) => Unsafe.ReadUnaligned<long>(ref _report[offset]);

    private static string Name(DriverDevice device) => device == DriverDevice.Disk ? "disk" : "network device";

    private static string Explain(DriverFault fault) => fault switch
    {
        DriverFault.NoDevice => "it is not on the bus",
        DriverFault.NoCapability => "its registers are not all announced",
        DriverFault.NoReset => "it does not come to rest after a reset",
        DriverFault.FeatureMissing => "it lacks VERSION_1 or the wanted ring format",
        DriverFault.FeaturesRefused => "it refuses what it offered",
        DriverFault.QueueTooSmall => "a queue is missing or too small",
        DriverFault.DiskTooSmall => "it is smaller than the area to be used",
        DriverFault.NotStarted => "it does not start",
        DriverFault.ForeignBuffer => "it used a buffer that it was not given",
        DriverFault.WrongLength => "it used another length than it must have",
        DriverFault.BadStatus => "it reports an error",
        DriverFault.WrongContent => "what came back is not what was sent",
        DriverFault.WrongOrder => "a frame is lost, doubled or out of order",
        _ => fault.ToString(),
    };
}
