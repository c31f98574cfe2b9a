using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Virtio;

/// <summary>The registers that every virtio transport has: status, features, queues; and with them the life of the device (virtio 1.2 §3.1).</summary>
/// <remarks>
/// The transport calls with <paramref name="gate"/>, the device's lock, held. What the function raises takes it here. Every register takes
/// any value at any time (threats H5): what is out of range or out of order has no effect.
/// </remarks>
/// <param name="function">The device.</param>
/// <param name="transport">Doorbells and interrupts.</param>
/// <param name="gate">The device's lock.</param>
internal sealed class VirtioRegisters(IVirtioFunction function, IVirtioTransport transport, Lock gate)
{
    /// <summary><c>VIRTIO_F_SR_IOV</c>, <c>VIRTIO_F_NOTIF_CONFIG_DATA</c>, <c>VIRTIO_F_ADMIN_VQ</c>: promises of a transport that these ones do not make.</summary>
    private const ulong ForeignTransportFeatures = 1UL << 37 | 1UL << 39 | 1UL << 41;

    /// <summary>
    /// Never shown: what belongs between front-end and back-end, legacy, and what a transport would have to serve. Notification data would change the
    /// value that doorbells of virtio-mmio compare.
    /// </summary>
    private const ulong HiddenFeatures = VirtioFeatures.ProtocolFeatures | VirtioFeatures.LogAll | VirtioFeatures.NotifyOnEmpty | VirtioFeatures.AnyLayout
        | VirtioFeatures.NotificationData | ForeignTransportFeatures;

    /// <summary>What a driver can set; NEEDS_RESET is the device's.</summary>
    private const VirtioStatus ByDriver =
        VirtioStatus.Acknowledge | VirtioStatus.Driver | VirtioStatus.DriverOk | VirtioStatus.FeaturesOk | VirtioStatus.Failed;

    private readonly QueueRegisters[] _queues = NewQueues(function);
    private VirtioStatus _status;
    private ulong _driverFeatures;
    private bool _isStarted;
    private bool _isStopping;
    private uint _epoch; // counts device resets: a queue's late «stopped» of before means nothing
    private Action? _whenStopped;

    /// <summary>Number of queues.</summary>
    public int QueueCount => _queues.Length;

    /// <summary>What the guest may choose from.</summary>
    public ulong OfferedFeatures { get; } = (function.Features & ~HiddenFeatures) | VirtioFeatures.Version1;

    /// <summary>Which 32 of <see cref="OfferedFeatures"/> are shown.</summary>
    public uint DeviceFeatureSelect { get; set; }

    /// <summary>Which 32 of the driver's features are shown.</summary>
    public uint DriverFeatureSelect { get; set; }

    /// <summary>Which queue the queue registers show; any value.</summary>
    public uint QueueSelect { get; set; }

    /// <summary>Features offered, the selected half.</summary>
    public uint DeviceFeatures => Half(OfferedFeatures, DeviceFeatureSelect);

    /// <summary>Features accepted, the selected half; fixed with FEATURES_OK.</summary>
    public uint DriverFeatures
    {
        get => Half(_driverFeatures, DriverFeatureSelect);
        set
        {
            if (DriverFeatureSelect <= 1 && !_isStopping && (_status & VirtioStatus.FeaturesOk) == 0)
            {
                int shift = (int)DriverFeatureSelect * 32;
                _driverFeatures = (_driverFeatures & ~(0xFFFF_FFFFUL << shift)) | ((ulong)value << shift);
            }
        }
    }

    /// <summary>Status; not 0 before a reset is complete.</summary>
    public VirtioStatus Status => _status;

    /// <summary>True from DRIVER_OK to reset.</summary>
    public bool IsStarted => _isStarted;

    /// <summary>True while a reset of the device, or of <paramref name="queue"/>, is under way.</summary>
    public bool IsStopping(uint queue) => _isStopping || (queue < (uint)_queues.Length && _queues[queue].IsStopping);

    /// <summary>True while the device works on <paramref name="queue"/>.</summary>
    public bool IsRunning(int queue) => _queues[queue].IsRunning;

    /// <summary>The selected queue; all zeros for one that does not exist.</summary>
    public QueueRegisters Selected => HasSelected ? _queues[QueueSelect] : default;

    private bool HasSelected => QueueSelect < (uint)_queues.Length;

    /// <summary>Begins to hear what the function raises.</summary>
    public void Open()
    {
        function.ConfigChanged += OnConfigChanged;
        function.NeedsReset += OnNeedsReset;
    }

    /// <summary>Ends <see cref="Open"/>.</summary>
    public void Close()
    {
        function.ConfigChanged -= OnConfigChanged;
        function.NeedsReset -= OnNeedsReset;
    }

    /// <summary>Takes what the driver wrote: 0 resets, set bits are added.</summary>
    public void WriteStatus(VirtioStatus value)
    {
        if (value == VirtioStatus.None)
        {
            Reset(null);
            return;
        }

        if (_isStopping)
        {
            return;
        }

        VirtioStatus added = value & ByDriver & ~_status;
        if ((added & VirtioStatus.FeaturesOk) != 0 && !FeaturesAreAcceptable())
        {
            added &= ~VirtioStatus.FeaturesOk;
        }

        bool mayStart = ((_status | added) & (VirtioStatus.FeaturesOk | VirtioStatus.Failed)) == VirtioStatus.FeaturesOk;
        bool starts = (added & VirtioStatus.DriverOk) != 0 && mayStart;
        _status |= starts ? added : added & ~VirtioStatus.DriverOk;
        if (starts)
        {
            Start();
        }
    }

    /// <summary>Resets the device.</summary>
    /// <param name="done">Called on the device's thread when it has stopped.</param>
    /// <returns><paramref name="done"/>, for the caller to call without the gate, when there was nothing to stop.</returns>
    public Action? Reset(Action? done)
    {
        if (_isStopping)
        {
            _whenStopped += done;
            return null;
        }

        _epoch++;
        if (!_isStarted)
        {
            Clear();
            return done;
        }

        _isStarted = false;
        _isStopping = true;
        _whenStopped = done;
        for (int i = 0; i < _queues.Length; i++)
        {
            if (_queues[i].IsRunning)
            {
                transport.QueueStopping(i);
                _queues[i].IsRunning = false;
            }
        }

        function.Stop(OnStopped);
        return null;
    }

    /// <summary>Takes the size of the selected queue, unless it is fixed or the size impossible.</summary>
    public void WriteQueueSize(uint size)
    {
        if (CanConfigure && size - 1 < function.MaxQueueSize)
        {
            _queues[QueueSelect].Size = (ushort)size;
        }
    }

    /// <summary>Takes half an address of the selected queue, unless it is fixed.</summary>
    public void WriteQueueAddress(QueueArea area, bool high, uint value)
    {
        if (CanConfigure)
        {
            ref ulong address = ref _queues[QueueSelect].Areas[(int)area];
            address = high ? (address & 0xFFFF_FFFF) | ((ulong)value << 32) : (address & ~0xFFFF_FFFFUL) | value;
        }
    }

    /// <summary>Enables the selected queue; on a live device it starts at once.</summary>
    public void EnableQueue()
    {
        if (!CanConfigure)
        {
            return;
        }

        _queues[QueueSelect].IsEnabled = true;
        if (_isStarted)
        {
            int index = (int)QueueSelect;
            BeginRunning(index);
            function.StartQueue(SetupOf(index));
        }
    }

    /// <summary>virtio-mmio, ready = 0: disables the selected queue; on a live device it stops.</summary>
    public void DisableQueue()
    {
        if (!HasSelected || _isStopping || !_queues[QueueSelect].IsEnabled)
        {
            return;
        }

        if (_queues[QueueSelect].IsRunning)
        {
            StopQueue((int)QueueSelect);
        }
        else
        {
            _queues[QueueSelect].IsEnabled = false;
        }
    }

    /// <summary>RING_RESET of the selected queue, where that was negotiated.</summary>
    public void ResetQueue()
    {
        if (HasSelected && _queues[QueueSelect].IsRunning && (_driverFeatures & VirtioFeatures.RingReset) != 0)
        {
            StopQueue((int)QueueSelect);
        }
    }

    /// <summary>A kick that came as a register write, past the doorbells. Never waits.</summary>
    public void Notify(ulong queue)
    {
        if (queue < (uint)_queues.Length && _queues[queue].IsRunning)
        {
            function.KickOf((int)queue).Signal();
        }
    }

    /// <summary>Tells the device, if it works on <paramref name="queue"/>, that <see cref="IVirtioTransport.CallOf"/> has another answer.</summary>
    public void ChangeCall(int queue)
    {
        if (_queues[queue].IsRunning)
        {
            function.SetCall(queue, transport.CallOf(queue));
        }
    }

    private bool CanConfigure => HasSelected && !_isStopping && !_queues[QueueSelect].IsEnabled && !_queues[QueueSelect].IsStopping;

    private bool FeaturesAreAcceptable() => (_driverFeatures & ~OfferedFeatures) == 0 && (_driverFeatures & VirtioFeatures.Version1) != 0;

    private void Start()
    {
        _isStarted = true;
        var setups = new List<VirtqueueSetup>();
        for (int i = 0; i < _queues.Length; i++)
        {
            if (_queues[i].IsEnabled)
            {
                BeginRunning(i);
                setups.Add(SetupOf(i));
            }
        }

        function.Start(_driverFeatures & function.Features, setups);
    }

    private void BeginRunning(int queue)
    {
        _queues[queue].IsRunning = true;
        transport.QueueStarting(queue);
    }

    private VirtqueueSetup SetupOf(int index)
    {
        ref QueueRegisters queue = ref _queues[index];
        return new VirtqueueSetup(index, queue.Size, queue.AddressOf(QueueArea.Descriptors), queue.AddressOf(QueueArea.Driver),
            queue.AddressOf(QueueArea.Device), transport.CallOf(index));
    }

    private void StopQueue(int index)
    {
        ref QueueRegisters queue = ref _queues[index];
        queue.IsEnabled = false;
        queue.IsRunning = false;
        queue.IsStopping = true;
        transport.QueueStopping(index);
        uint epoch = _epoch;
        function.StopQueue(index, () => OnQueueStopped(index, epoch));
    }

    private void OnQueueStopped(int index, uint epoch)
    {
        lock (gate)
        {
            if (epoch == _epoch)
            {
                ClearQueue(index);
            }
        }
    }

    private void OnStopped()
    {
        Action? done;
        lock (gate)
        {
            _isStopping = false;
            Clear();
            done = _whenStopped;
            _whenStopped = null;
        }

        done?.Invoke();
    }

    private void OnNeedsReset()
    {
        lock (gate)
        {
            if (_isStarted)
            {
                _status |= VirtioStatus.NeedsReset;
                transport.ConfigInterrupt();
            }
        }
    }

    private void OnConfigChanged()
    {
        lock (gate)
        {
            if (_isStarted)
            {
                transport.ConfigInterrupt();
            }
        }
    }

    private void Clear()
    {
        _status = VirtioStatus.None;
        _driverFeatures = 0;
        DeviceFeatureSelect = 0;
        DriverFeatureSelect = 0;
        QueueSelect = 0;
        for (int i = 0; i < _queues.Length; i++)
        {
            ClearQueue(i);
        }

        transport.DeviceCleared();
    }

    private void ClearQueue(int index)
    {
        _queues[index] = new QueueRegisters { Size = function.MaxQueueSize };
        transport.QueueCleared(index);
    }

    private static uint Half(ulong features, uint select) => select switch
    {
        0 => (uint)features,
        1 => (uint)(features >> 32),
        _ => 0,
    };

    private static QueueRegisters[] NewQueues(IVirtioFunction function)
    {
        var queues = new QueueRegisters[function.QueueCount];
        Array.Fill(queues, new QueueRegisters { Size = function.MaxQueueSize });
        return queues;
    }
}
