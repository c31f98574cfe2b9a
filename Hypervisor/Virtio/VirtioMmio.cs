using System.Buffers.Binary;
using System.Diagnostics;
using Paravane.Hypervisor.Kvm;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <summary>A virtio device in a window of its own (virtio 1.2 §4.2, version 2): the simplest transport, with one wired interrupt for all queues.</summary>
/// <remarks>
/// Any thread. The device signals an eventfd that is attached to the interrupt line, so nobody here sees an interrupt for used buffers: the interrupt
/// status always shows one, and the driver looks into its rings. That costs two exits for each interrupt; virtio-pci has none.
/// </remarks>
internal sealed class VirtioMmio : IBusDevice, IVirtioTransport, IDisposable
{
    /// <summary>Size of the window.</summary>
    public const uint WindowBytes = 0x1000;

    // Registers (virtio 1.2 §4.2.2).
    private const int Magic = 0x000, Version = 0x004, DeviceId = 0x008, VendorId = 0x00C, DeviceFeatures = 0x010, DeviceFeatureSelect = 0x014,
        DriverFeatures = 0x020, DriverFeatureSelect = 0x024, QueueSelect = 0x030, QueueSizeMax = 0x034, QueueSize = 0x038, QueueReady = 0x044,
        QueueNotify = 0x050, InterruptStatus = 0x060, InterruptAck = 0x064, Status = 0x070, QueueAddresses = 0x080, QueueAddressesEnd = 0x0B0,
        QueueReset = 0x0C0, ConfigGeneration = 0x0FC, Config = 0x100;

    private const uint MagicValue = 0x7472_6976, VendorValue = 0x1AF4;
    private const uint InterruptQueue = 1, InterruptConfig = 2;

    /// <summary>How long a reset may keep a vCPU: Linux' driver does not ask whether it is complete. Afterwards status goes on to say that it is not.</summary>
    private static readonly TimeSpan s_resetPatience = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly IVirtioFunction _function;
    private readonly IInterruptController _interrupts;
    private readonly IDoorbells _doorbells;
    private readonly VirtioRegisters _registers;
    private readonly ulong _address;
    private readonly int _gsi;
    private readonly EventFd _call = new();
    private readonly ManualResetEventSlim _cleared = new();
    private readonly bool[] _hasDoorbell;
    private bool _configPending;

    /// <summary>Makes the window of <paramref name="function"/>, which belongs to the caller.</summary>
    /// <param name="function">The device.</param>
    /// <param name="address">Guest physical address of the window.</param>
    /// <param name="gsi">Its own interrupt line, as an edge.</param>
    /// <param name="interrupts">Takes its interrupts.</param>
    /// <param name="doorbells">Take its kicks.</param>
    /// <exception cref="IOException">The interrupt cannot be attached.</exception>
    public VirtioMmio(IVirtioFunction function, ulong address, int gsi, IInterruptController interrupts, IDoorbells doorbells)
    {
        _function = function;
        _address = address;
        _gsi = gsi;
        _interrupts = interrupts;
        _doorbells = doorbells;
        _hasDoorbell = new bool[function.QueueCount];
        _registers = new VirtioRegisters(function, this, _gate);
        try
        {
            _interrupts.Attach(gsi, _call);
        }
        catch (IOException)
        {
            _call.Dispose();
            throw;
        }

        _registers.Open();
    }

    /// <summary>Doorbells that the host did not take: those kicks cost an exit. For counters.</summary>
    public long Refusals { get; private set; }

    /// <summary>Resets the device, for a reboot of the guest or before <see cref="Dispose"/>.</summary>
    /// <param name="done">Called when it touches guest memory no more; at once, or on the device's thread.</param>
    public void Reset(Action done)
    {
        Action? finish;
        lock (_gate)
        {
            finish = _registers.Reset(done);
        }

        finish?.Invoke();
    }

    /// <summary>Gives the interrupt back, once <see cref="Reset"/> is complete and no vCPU runs.</summary>
    public void Dispose()
    {
        _registers.Close();
        _interrupts.Detach(_gsi, _call);
        _call.Dispose();
        _cleared.Dispose();
    }

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> data)
    {
        if (offset >= Config)
        {
            // Without the lock: the function guards its own.
            _function.ReadConfig((uint)offset - Config, data);
            return;
        }

        uint value = uint.MaxValue;
        if (offset % sizeof(uint) != 0 || data.Length != sizeof(uint))
        {
            data.Fill(0xFF);
            return;
        }

        lock (_gate)
        {
            value = ReadRegister((int)offset);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(data, value);
    }

    /// <inheritdoc/>
    public void Write(ulong offset, ReadOnlySpan<byte> data)
    {
        if (offset >= Config)
        {
            _function.WriteConfig((uint)offset - Config, data);
            return;
        }

        if (offset % sizeof(uint) != 0 || data.Length != sizeof(uint))
        {
            return;
        }

        uint queue;
        lock (_gate)
        {
            WriteRegister((int)offset, BinaryPrimitives.ReadUInt32LittleEndian(data));
            queue = _registers.QueueSelect;
        }

        if (offset is Status or QueueReady)
        {
            WaitUntilStopped(queue);
        }
    }

    /// <inheritdoc/>
    EventFd? IVirtioTransport.CallOf(int queue) => _call;

    /// <inheritdoc/>
    void IVirtioTransport.QueueStarting(int queue)
    {
        try
        {
            _doorbells.Attach(_address + QueueNotify, sizeof(uint), (uint)queue, _function.KickOf(queue));
            _hasDoorbell[queue] = true;
        }
        catch (IOException)
        {
            Refusals++; // limits of the host: these kicks come through Write
        }
    }

    /// <inheritdoc/>
    void IVirtioTransport.QueueStopping(int queue)
    {
        if (!_hasDoorbell[queue])
        {
            return;
        }

        _hasDoorbell[queue] = false;
        try
        {
            _doorbells.Detach(_address + QueueNotify, sizeof(uint), (uint)queue, _function.KickOf(queue));
        }
        catch (IOException)
        {
            Refusals++; // then it signals a queue that does not listen
        }
    }

    /// <inheritdoc/>
    void IVirtioTransport.QueueCleared(int queue) => _cleared.Set();

    /// <inheritdoc/>
    void IVirtioTransport.DeviceCleared()
    {
        _configPending = false;
        _cleared.Set();
    }

    /// <inheritdoc/>
    void IVirtioTransport.ConfigInterrupt()
    {
        _configPending = true;
        _call.Signal();
    }

    private uint ReadRegister(int offset) => offset switch
    {
        Magic => MagicValue,
        Version => 2,
        DeviceId => _function.DeviceId,
        VendorId => VendorValue,
        DeviceFeatures => _registers.DeviceFeatures,
        QueueSizeMax => _registers.QueueSelect < (uint)_registers.QueueCount ? _function.MaxQueueSize : 0u,
        QueueReady => _registers.Selected.IsEnabled ? 1u : 0,
        InterruptStatus => (_registers.IsStarted ? InterruptQueue : 0) | (_configPending ? InterruptConfig : 0),
        Status => (uint)_registers.Status,
        QueueReset => _registers.Selected.IsStopping ? 1u : 0,
        ConfigGeneration => _function.ConfigGeneration,
        _ => uint.MaxValue, // unknown, write-only, or of shared memory, which there is none: all ones say so
    };

    private void WriteRegister(int offset, uint value)
    {
        switch (offset)
        {
            case DeviceFeatureSelect:
                _registers.DeviceFeatureSelect = value;
                break;
            case DriverFeatures:
                _registers.DriverFeatures = value;
                break;
            case DriverFeatureSelect:
                _registers.DriverFeatureSelect = value;
                break;
            case QueueSelect:
                _registers.QueueSelect = value;
                break;
            case QueueSize:
                _registers.WriteQueueSize(value);
                break;
            case QueueReady when value == 1:
                _registers.EnableQueue();
                break;
            case QueueReady when value == 0:
                _registers.DisableQueue();
                break;
            case QueueNotify:
                _registers.Notify(value);
                break;
            case InterruptAck:
                _configPending &= (value & InterruptConfig) == 0;
                break;
            case Status:
                _registers.WriteStatus((VirtioStatus)(byte)value);
                break;
            case QueueReset when value == 1:
                _registers.ResetQueue();
                break;
            case >= QueueAddresses and < QueueAddressesEnd when offset % 16 < 8:
                _registers.WriteQueueAddress((QueueArea)((offset - QueueAddresses) / 16), high: offset % 8 != 0, value);
                break;
            default:
                break; // read-only or unknown
        }
    }

    private void WaitUntilStopped(uint queue)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            lock (_gate)
            {
                if (!_registers.IsStopping(queue))
                {
                    return;
                }

                _cleared.Reset();
            }

            TimeSpan left = s_resetPatience - Stopwatch.GetElapsedTime(start);
            if (left <= TimeSpan.Zero || !_cleared.Wait(left))
            {
                return;
            }
        }
    }
}
