using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Pci;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <summary>A virtio device on the PCI bus (virtio 1.2 §4.1, no legacy interface): one 64-bit BAR for all registers, MSI-X with a vector for each queue.</summary>
/// <remarks>
/// Any thread. On the way of a request there is nothing of this: kicks go from the doorbell to the device's eventfd, calls from the vector's eventfd into
/// the guest, both inside the kernel. Without MSI-X calls go through <see cref="InterruptForwarder"/> to the interrupt status and INTA.
/// </remarks>
internal sealed partial class VirtioPci : PciFunction, IVirtioTransport, IBusDevice
{
    private const ushort VirtioVendor = 0x1AF4, FirstModernDevice = 0x1040;
    private const ushort NoVector = 0xFFFF;
    private const byte IsrQueue = 1, IsrConfig = 2;

    private readonly IVirtioFunction _function;
    private readonly IDoorbells _doorbells;
    private readonly InterruptForwarder _forwarder;
    private readonly VirtioPciLayout _layout;
    private readonly VirtioRegisters _registers;
    private readonly MsiX _msiX;
    private readonly ushort[] _queueVectors;
    private readonly bool[] _hasDoorbell;
    private readonly int _msiXCapability;
    private readonly int _windowCapability;
    private ushort _configVector = NoVector;
    private ulong _barAddress; // where doorbells are, and belong; 0 while the BAR does not answer
    private byte _isr;
    private EventFd? _wired; // calls while MSI-X is off; made with first use
    private ulong _wiredTag;

    /// <summary>Makes the PCI side of <paramref name="function"/>, which belongs to the caller.</summary>
    /// <param name="name">For counters and logs.</param>
    /// <param name="function">The device.</param>
    /// <param name="interrupts">Takes its messages.</param>
    /// <param name="doorbells">Take its kicks.</param>
    /// <param name="forwarder">For guests without MSI-X.</param>
    public VirtioPci(string name, IVirtioFunction function, IInterruptController interrupts, IDoorbells doorbells, InterruptForwarder forwarder)
        : base(name, VirtioVendor, (ushort)(FirstModernDevice + function.DeviceId), ClassOf(function.DeviceId), revision: 1)
    {
        _function = function;
        _doorbells = doorbells;
        _forwarder = forwarder;
        _layout = new VirtioPciLayout(function.QueueCount, function.ConfigLengthBytes);
        _registers = new VirtioRegisters(function, this, Gate);
        _msiX = new MsiX(_layout.Vectors, interrupts);
        _queueVectors = new ushort[function.QueueCount];
        Array.Fill(_queueVectors, NoVector);
        _hasDoorbell = new bool[function.QueueCount];
        SetConfig16(PciConfig.SubsystemVendor, VirtioVendor);
        SetConfig16(PciConfig.Subsystem, (ushort)(FirstModernDevice + function.DeviceId));
        AddIntx();
        AddBar(new PciBar(0, is64: true, _layout.BarBytes, this));
        _msiXCapability = AddMsiXCapability();
        AddVirtioCapability(VirtioCapability.Common, VirtioPciLayout.Common, VirtioPciLayout.CommonBytes);
        AddVirtioCapability(VirtioCapability.Notify, VirtioPciLayout.Notify, _layout.NotifyBytes, VirtioPciLayout.NotifyMultiplier);
        AddVirtioCapability(VirtioCapability.Isr, VirtioPciLayout.Isr, 1);
        if (_layout.DeviceBytes > 0)
        {
            AddVirtioCapability(VirtioCapability.Device, VirtioPciLayout.Device, _layout.DeviceBytes);
        }

        _windowCapability = AddWindowCapability();
    }

    /// <summary>Unmaskings of a vector that the host refused, and doorbells that it did not take (those kicks cost an exit). For counters.</summary>
    public long Refusals => _msiX.Refusals + _doorbellRefusals;

    /// <inheritdoc/>
    EventFd? IVirtioTransport.CallOf(int queue)
    {
        if (!_msiX.IsEnabled)
        {
            return WiredCall();
        }

        int vector = _queueVectors[queue];
        return vector != NoVector && _msiX.TryGetSource(vector, out EventFd? source) ? source : null;
    }

    /// <inheritdoc/>
    void IVirtioTransport.QueueStarting(int queue) => AttachDoorbell(queue);

    /// <inheritdoc/>
    void IVirtioTransport.QueueStopping(int queue) => DetachDoorbell(queue);

    /// <inheritdoc/>
    void IVirtioTransport.QueueCleared(int queue) => _queueVectors[queue] = NoVector;

    /// <inheritdoc/>
    void IVirtioTransport.DeviceCleared()
    {
        _configVector = NoVector;
        _isr = 0;
        UpdateWire();
    }

    /// <inheritdoc/>
    void IVirtioTransport.ConfigInterrupt()
    {
        if (!_msiX.IsEnabled)
        {
            _isr |= IsrConfig;
            UpdateWire();
        }
        else if (_configVector != NoVector && _msiX.TryGetSource(_configVector, out EventFd? source))
        {
            source.Signal();
        }
    }

    /// <inheritdoc/>
    protected override void OnAttached() => _registers.Open();

    /// <inheritdoc/>
    protected override Action? OnDetach(Action done)
    {
        _registers.Close();
        if (_wired is not null)
        {
            _forwarder.Remove(_wiredTag);
        }

        return OnReset(() =>
        {
            // Only now: the device may have signalled until it stopped.
            lock (Gate)
            {
                _msiX.Close();
                _wired?.Dispose();
                _wired = null;
            }

            done();
        });
    }

    /// <inheritdoc/>
    protected override Action? OnReset(Action done)
    {
        Action? finish = _registers.Reset(done);
        _msiX.Reset();
        SetConfig16(_msiXCapability + 2, (ushort)(_msiX.Count - 1));
        ConfigBytes(_windowCapability + WindowBar, 1).Clear();
        ConfigBytes(_windowCapability + WindowOffset, WindowData + sizeof(uint) - WindowOffset).Clear();
        return finish;
    }

    /// <summary>Without a descriptor for it, the device goes without interrupts.</summary>
    private EventFd? WiredCall()
    {
        if (_wired is null)
        {
            EventFd? wired = null;
            try
            {
                wired = new EventFd();
                _wiredTag = _forwarder.Add(wired, OnWiredCall);
                _wired = wired;
            }
            catch (LinuxException)
            {
                wired?.Dispose();
            }
        }

        return _wired;
    }

    private void OnWiredCall()
    {
        lock (Gate)
        {
            if (!IsAttached || !_registers.IsStarted)
            {
                return;
            }

            if (_msiX.IsEnabled)
            {
                SignalQueues(); // said before the device heard of the change
            }
            else
            {
                _isr |= IsrQueue;
                UpdateWire();
            }
        }
    }

    /// <summary>MSI-X was turned on or off; what was due in the old way is said in the new one.</summary>
    private void OnMsiXSwitched()
    {
        for (int i = 0; i < _registers.QueueCount; i++)
        {
            _registers.ChangeCall(i);
        }

        if (_msiX.IsEnabled)
        {
            if ((_isr & IsrQueue) != 0)
            {
                SignalQueues();
            }

            _isr = 0;
        }
        else if (_registers.IsStarted)
        {
            _isr |= IsrQueue;
        }

        UpdateWire();
    }

    private void SignalQueues()
    {
        for (int i = 0; i < _registers.QueueCount; i++)
        {
            if (_registers.IsRunning(i) && _queueVectors[i] != NoVector && _msiX.TryGetSource(_queueVectors[i], out EventFd? source))
            {
                source.Signal();
            }
        }
    }

    private void UpdateWire() => SetIntx(_isr != 0 && !_msiX.IsEnabled);

    private static uint ClassOf(ushort deviceId) => deviceId switch
    {
        1 => 0x020000,
        2 => 0x018000,
        _ => 0xFF0000,
    };
}
