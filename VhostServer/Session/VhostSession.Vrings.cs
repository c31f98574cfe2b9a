using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;
using Paravane.VhostServer.Workers;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Session;

/// <content>Vrings: set-up in any order, start, stop.</content>
internal sealed partial class VhostSession
{
    private bool IsPacked => (_features & VirtioFeatures.RingPacked) != 0;

    /// <summary>SET_VRING_NUM.</summary>
    public void SetVringNum(Message message)
    {
        VringState state = message.Read<VringState>();
        Vring vring = VringOf(state.Index);
        if (state.Num == 0 || state.Num > _traits.MaxQueueSize || (!IsPacked && !uint.IsPow2(state.Num)))
        {
            Refused($"vring {vring.Index}: size 0x{state.Num:x} is not {(IsPacked ? string.Empty : "a power of two ")}in 1…{_traits.MaxQueueSize}");
        }

        if (state.Num != vring.Size)
        {
            RefuseWhileRunning(vring, "size");
            Change(vring, () => vring.Size = (int)state.Num);
        }
    }

    /// <summary>SET_VRING_ADDR. On a running ring only the logging may change.</summary>
    public void SetVringAddr(Message message)
    {
        VringAddress address = message.Read<VringAddress>();
        Vring vring = VringOf(address.Index);
        if ((address.Flags & ~VringAddressFlags.Log) != 0)
        {
            Refused($"vring {vring.Index}: flags 0x{(uint)address.Flags:x} are not defined");
        }

        if (vring is { IsRunning: true, Address: { } current })
        {
            if (address.Descriptor != current.Descriptor || address.Used != current.Used || address.Available != current.Available)
            {
                RefuseWhileRunning(vring, "ring addresses");
            }

            vring.Address = address;
            ApplyLog();
            return;
        }

        Change(vring, () =>
        {
            vring.Address = address;
            CheckAddress(vring);
        });
    }

    /// <summary>SET_VRING_BASE.</summary>
    public void SetVringBase(Message message)
    {
        VringState state = message.Read<VringState>();
        Vring vring = VringOf(state.Index);
        if (_hasFeatures && !IsPacked && state.Num > ushort.MaxValue)
        {
            Refused($"vring {vring.Index}: base 0x{state.Num:x} is not an index of a split ring");
        }

        var position = new QueueState(state.Num);
        if (position != vring.Base)
        {
            if (position == StateOf(vring))
            {
                return; // where a ring that was told nothing has started
            }

            RefuseWhileRunning(vring, "base");
            Change(vring, () => vring.Base = position);
        }
    }

    /// <summary>GET_VRING_BASE: stops the ring, however long its requests take.</summary>
    public void GetVringBase(Message message)
    {
        Vring vring = VringOf(message.Read<VringState>().Index);
        Stop(vring);
        vring.ForgetSignals();
        Reply(new VringState((uint)vring.Index, StateOf(vring).Raw));
    }

    /// <summary>SET_VRING_KICK: the message itself starts the ring, not the first signal.</summary>
    public void SetVringKick(Message message)
    {
        Vring vring = TakeSignal(message, out FileDescriptor? kick);
        if (vring.IsRunning)
        {
            Execute(WorkerOf(vring), worker => Do(() => worker.SetKick(vring.Index, kick)));
            return;
        }

        vring.SetKick(kick);
        vring.IsStartWanted = true;
        try
        {
            TryStart(vring);
        }
        catch (VhostProtocolException)
        {
            vring.IsStartWanted = false;
            vring.SetKick(null);
            throw;
        }
    }

    /// <summary>SET_VRING_CALL.</summary>
    public void SetVringCall(Message message)
    {
        Vring vring = TakeSignal(message, out FileDescriptor? call);
        if (vring.IsRunning)
        {
            Execute(WorkerOf(vring), worker => Do(() => worker.SetCall(vring.Index, call)));
        }
        else
        {
            vring.SetCall(call);
        }
    }

    /// <summary>SET_VRING_ERR.</summary>
    public void SetVringErr(Message message)
    {
        Vring vring = TakeSignal(message, out FileDescriptor? error);
        vring.SetError(error);
        if (error is not null && _health.IsBroken)
        {
            EventFd.Signal(error.Number);
        }
    }

    /// <summary>SET_VRING_ENABLE. Legal before SET_FEATURES: QEMU's network front-end sends it while the driver still negotiates.</summary>
    /// <remarks>Disabling is answered when nothing is in flight any more, however long that takes.</remarks>
    public void SetVringEnable(Message message)
    {
        VringState state = message.Read<VringState>();
        Vring vring = VringOf(state.Index);
        if (state.Num > 1)
        {
            Refused($"vring {vring.Index}: enable 0x{state.Num:x} is neither 0 nor 1");
        }

        if (_hasFeatures && (_features & VirtioFeatures.ProtocolFeatures) == 0)
        {
            Refused("PROTOCOL_FEATURES was not negotiated, so all rings are enabled");
        }

        SetEnabled(vring, state.Num == 1);
        if (state.Num == 1)
        {
            TellIfMemoryIsMissing(vring);
        }
    }

    /// <summary>A front-end that has told everything, and of whose memory not even a part is here: QEMU, for one, leaves out what it does not share, without a word.</summary>
    private void TellIfMemoryIsMissing(Vring vring)
    {
        if (vring is { IsRunning: false, IsStartWanted: true, Size: not 0, Address: not null } && Locate(vring) is null)
        {
            VhostServerLog.RingWithoutMemory(_log, vring.Index);
        }
    }

    private Vring VringOf(ulong index)
    {
        if (index >= (ulong)_vrings.Length)
        {
            Refused($"vring 0x{index:x} does not exist: the device has {_vrings.Length}");
        }

        return _vrings[index];
    }

    private void RefuseWhileRunning(Vring vring, string what)
    {
        if (vring.IsRunning)
        {
            Refused($"vring {vring.Index}: {what} cannot change while the ring runs");
        }
    }

    /// <summary>The vring and the descriptor of a kick, call or error message, checked.</summary>
    private Vring TakeSignal(Message message, out FileDescriptor? descriptor)
    {
        VringDescriptor word = message.Read<VringDescriptor>();
        if (message.Descriptors.Count != (word.HasDescriptor ? 1 : 0))
        {
            throw new VhostFramingException(
                $"{MessageTable.NameOf(message.Request)} 0x{word.Raw:x} with {message.Descriptors.Count} descriptors");
        }

        Vring vring = VringOf(word.Index);
        descriptor = null;
        if (word.HasDescriptor)
        {
            if (!EventFd.CanBe(message.Descriptors.Peek(0)))
            {
                Refused($"vring {vring.Index}: the descriptor is neither an eventfd nor a pipe");
            }

            message.Descriptors.Peek(0).SetNonBlocking();
            descriptor = message.Descriptors.Take(0);
        }

        return vring;
    }

    /// <summary>Changes a stopped vring and starts it if that was all it waited for. A refusal leaves it as it was.</summary>
    private void Change(Vring vring, Action change)
    {
        (int size, VringAddress? address, QueueState? position) = (vring.Size, vring.Address, vring.Base);
        try
        {
            change();
            TryStart(vring);
        }
        catch (VhostProtocolException)
        {
            (vring.Size, vring.Address, vring.Base) = (size, address, position);
            throw;
        }
    }

    private QueueState StateOf(Vring vring) => vring.Base ?? QueueState.Fresh(Format);

    private static GuestAddress? UsedLogOf(Vring vring) =>
        vring.Address is { } address && (address.Flags & VringAddressFlags.Log) != 0 ? new GuestAddress(address.Log) : null;

    private QueueConfig ConfigOf(Vring vring, RingAreas areas) => new()
    {
        Index = vring.Index,
        Size = vring.Size,
        Features = _features & ~OwnFeatures,
        DescriptorArea = areas.Descriptor,
        DriverArea = areas.Driver,
        DeviceArea = areas.Device,
        State = StateOf(vring),
        UsedLog = UsedLogOf(vring),
        Inflight = _inflight,
    };

    /// <summary>Translates the ring's user addresses; null: not all three areas are inside one region each, or not told yet.</summary>
    private RingAreas? Locate(Vring vring)
    {
        if (vring.Address is not { } address || vring.Size == 0)
        {
            return null;
        }

        (uint descriptor, uint driver, uint device) = ConfigOf(vring, RingAreas.Missing).AreaSizes();
        return _memory.TryFind(new UserAddress(address.Descriptor), descriptor, out GuestAddress descriptorArea)
            && _memory.TryFind(new UserAddress(address.Available), driver, out GuestAddress driverArea)
            && _memory.TryFind(new UserAddress(address.Used), device, out GuestAddress deviceArea)
            ? new RingAreas(descriptorArea, driverArea, deviceArea)
            : null;
    }

    /// <summary>Refuses addresses that are wrong whatever comes later: outside a table that is there, over a region's end, misaligned (threats M11).</summary>
    private void CheckAddress(Vring vring)
    {
        if (vring.Size == 0 || _memory.Regions.IsEmpty)
        {
            return;
        }

        if (Locate(vring) is not { } areas)
        {
            VringAddress address = vring.Address!.Value;
            Refused($"vring {vring.Index}: descriptor 0x{address.Descriptor:x}, available 0x{address.Available:x}, used 0x{address.Used:x} "
                + "are not each inside one memory region");
            return;
        }

        if (ConfigOf(vring, areas).FindError(_memory) is { } error)
        {
            Refused($"vring {vring.Index}: {error}");
        }
    }

    /// <summary>Starts a ring for which everything is known; does nothing while something is missing.</summary>
    private void TryStart(Vring vring)
    {
        if (vring.IsRunning || !vring.IsStartWanted || vring.Size == 0 || vring.Address is null || _memory.Regions.IsEmpty)
        {
            return;
        }

        if (Locate(vring) is not { } areas)
        {
            // A region may be on its way; an address inside the table with its end outside is wrong for good.
            VringAddress address = vring.Address.Value;
            if (IsInside(address.Descriptor) && IsInside(address.Available) && IsInside(address.Used))
            {
                CheckAddress(vring);
            }

            return;
        }

        QueueConfig config = ConfigOf(vring, areas);
        string? error = !IsPacked && config.State.Raw > ushort.MaxValue ? $"base 0x{config.State.Raw:x} is not an index of a split ring" : config.FindError(_memory);
        if (error is not null)
        {
            Refused($"vring {vring.Index}: {error}");
        }

        if (IsLogging)
        {
            EnsureLog();
        }

        FileDescriptor? kick = vring.Kick, call = vring.Call;
        bool isEnabled = vring.IsEnabled;
        GuestMemory memory = _memory;
        DirtyLog? log = ActiveLog;
        Virtqueue? queue = null;
        try
        {
            Execute(WorkerOf(vring), worker => Do(() => queue = worker.StartQueue(_device, config, memory, kick, call, isEnabled, log)));
        }
        finally
        {
            vring.Queue = queue;
        }

        vring.HandOver();
        VhostServerLog.RingStarted(_log, vring.Index, config.Size, config.Format, config.State.Raw, isEnabled);
    }

    private bool IsInside(ulong userAddress) => _memory.TryFind(new UserAddress(userAddress), 1, out _);

    private void Stop(Vring vring)
    {
        if (!vring.IsRunning)
        {
            return;
        }

        QueueState state = default;
        Execute(WorkerOf(vring), worker => worker.TryServePredecessor(vring.Index) && worker.TryStopQueue(vring.Index, out state));
        vring.Queue = null;
        vring.Base = state;
        VhostServerLog.RingStopped(_log, vring.Index, state.Raw);
        TellTroubles();
        if (!IsAnyRunning)
        {
            ForgetFrontendLog();
        }

        Resume();
    }

    /// <summary>Stops all rings, with no time limit, and those that wait for a part. Where each stopped is kept: GET_VRING_BASE may ask for it afterwards.</summary>
    private void StopAllRings()
    {
        Array.ForEach(_vrings, vring => vring.ForgetSignals());
        if (!IsAnyRunning)
        {
            return;
        }

        var states = new QueueState[_vrings.Length]; // each worker writes those of its own rings
        ExecuteAll(worker => worker.TryStopAll(states));
        foreach (Vring vring in _vrings)
        {
            if (vring.IsRunning)
            {
                vring.Queue = null;
                vring.Base = states[vring.Index];
                VhostServerLog.RingStopped(_log, vring.Index, states[vring.Index].Raw);
            }
        }

        ForgetFrontendLog();
        _isBrokenKnown &= _health.IsBroken;
    }

    /// <summary>The stop may have removed the last broken ring: then the others go on, and their workers may be asleep.</summary>
    private void Resume()
    {
        if (!_health.IsBroken)
        {
            _isBrokenKnown = false;
            if (IsAnyRunning)
            {
                ExecuteAll(static _ => true);
            }
        }
    }
}
