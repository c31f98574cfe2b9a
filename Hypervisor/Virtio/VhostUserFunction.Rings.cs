using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Virtio;

/// <content>Rings and memory, as the back-end is told of them. Device thread.</content>
internal sealed partial class VhostUserFunction
{
    private const VirtioStatus Negotiated = VirtioStatus.Acknowledge | VirtioStatus.Driver | VirtioStatus.FeaturesOk;

    /// <summary>Between two looks at whether the device has to close.</summary>
    private static readonly TimeSpan s_glance = TimeSpan.FromMilliseconds(100);

    /// <summary>Guest memory; grows, but for what a device of the machine refused.</summary>
    private readonly List<GuestRamRegion> _regions;

    /// <summary>The queues that the driver has started, by its index of them.</summary>
    private readonly SortedDictionary<int, VhostUserQueue> _queues = [];

    private int _toldRegions; // the first so many are known to the present back-end
    private ulong _accepted; // features, by the driver
    private bool _isStarted; // DRIVER_OK, and no reset since
    private bool _isBroken; // only a reset helps
    private bool _isPaused;

    private void StartAll(ulong features, VirtqueueSetup[] queues)
    {
        if (_isStarted)
        {
            StopAll(static () => { }); // a driver that starts without a reset in between
        }

        Counters.CountStart();
        _configAtStart = _config;
        _accepted = features & Features;
        _isStarted = true;
        _error.Drain();
        foreach (VirtqueueSetup queue in queues)
        {
            if (!TryPrepare(queue))
            {
                return;
            }
        }

        if (!_isPaused)
        {
            Begin(() => Activate(isReplay: false));
        }
    }

    private void StartOne(VirtqueueSetup setup)
    {
        if (!_isStarted || _isBroken || _queues.ContainsKey(setup.Index) || !TryPrepare(setup) || _isPaused)
        {
            return;
        }

        Begin(() =>
        {
            VhostUserQueue queue = _queues[setup.Index];
            _frontend!.SetVringNum(queue.Ring, queue.Config.Size);
            _frontend.SetVringEnable(queue.Ring, enabled: true);
            Tell(queue);
            queue.Kick.Signal();
        });
    }

    private void StopOne(int index, Action stopped)
    {
        if (_queues.TryGetValue(index, out VhostUserQueue? queue))
        {
            Within(ResetLimit, () => _ = Attempt(() => StopRings([queue])));
            AwaitSilence();
            ForgetInflightOf(queue);
            _queues.Remove(index);
        }

        stopped();
    }

    private void StopAll(Action stopped)
    {
        Within(ResetLimit, () =>
        {
            if (_isStarted)
            {
                _ = Attempt(ResetBackEnd);
            }

            _queues.Clear();
            _isStarted = false;
            _isBroken = false;
            ForgetInflight();
            ForgetDriversConfig();
        });
        AwaitSilence();
        stopped();
    }

    /// <summary>
    /// A worker that even SIGKILL does not end yet sits in the kernel, in a disk's error handling: what it was told to read may still come, into memory that
    /// the driver gets back by the reset. So that one lasts as long as the worker.
    /// </summary>
    private void AwaitSilence()
    {
        while (_frontend is null && !_closing && !_backEnd.HasEnded(s_glance))
        {
        }
    }

    private void ResetBackEnd()
    {
        StopRings(_queues.Values);
        _frontend!.SetStatus(VirtioStatus.None);
        if (_frontend.Has(ProtocolFeatures.ResetDevice))
        {
            _frontend.ResetDevice();
        }
    }

    private void ChangeCall(int index, EventFd? call)
    {
        if (_queues.TryGetValue(index, out VhostUserQueue? queue))
        {
            queue.Call = call;
            if (queue.IsRunning)
            {
                _ = Attempt(() => _frontend!.SetVringCall(queue.Ring, call));
            }
        }
    }

    private void Pause()
    {
        if (!_isPaused)
        {
            _isPaused = true;
            Within(PauseLimit, () => _ = Attempt(() => StopRings(_queues.Values)));
        }
    }

    private void Resume()
    {
        if (_isPaused)
        {
            _isPaused = false;
            if (_isStarted && !_isBroken)
            {
                _ = Attempt(() => Activate(isReplay: true));
            }
        }
    }

    private void AddMemory(GuestRamRegion region)
    {
        _regions.Add(region);
        if (_frontend is null || _toldRegions == 0)
        {
            return; // whoever comes learns of all regions before its first ring
        }

        try
        {
            TellMemory();
        }
        catch (FrontendException refusal) when (_frontend.IsUsable)
        {
            _regions.RemoveAt(_regions.Count - 1);
            Counters.CountRefusal(refusal.Message);
            throw new FrontendException($"{Name}: {refusal.Message}", refusal);
        }
        catch (IOException failure)
        {
            Lose(failure.Message);
        }
    }

    private void RemoveMemory(GuestRamRegion region)
    {
        int index = _regions.IndexOf(region);
        if (index < 0)
        {
            return; // it was refused here
        }

        _regions.RemoveAt(index);
        if (_frontend is not null && index < _toldRegions)
        {
            _toldRegions--;
            _ = Attempt(() =>
            {
                if (_frontend.Has(ProtocolFeatures.ConfigureMemSlots))
                {
                    _frontend.RemoveMemory(region);
                }
                else
                {
                    _frontend.SetMemoryTable(_regions);
                }
            });
        }
    }

    /// <summary>Checks what the driver wrote into its registers; all of it is the guest's.</summary>
    private bool TryPrepare(VirtqueueSetup setup)
    {
        var format = (_accepted & VirtioQueues.Spec.VirtioFeatures.RingPacked) != 0 ? RingFormat.Packed : RingFormat.Split;
        var config = new QueueConfig
        {
            Index = setup.Index,
            Size = setup.Size,
            Features = _accepted,
            DescriptorArea = setup.Descriptors,
            DriverArea = setup.Driver,
            DeviceArea = setup.Device,
            State = QueueState.Fresh(format),
        };
        string? error = (uint)setup.Index >= (uint)QueueCount ? "there is no such queue"
            : setup.Size > MaxQueueSize ? $"size 0x{setup.Size:x} is larger than 0x{MaxQueueSize:x}"
            : config.FindError(memory: null);
        if (error is null)
        {
            (uint descriptor, uint driver, uint device) = config.AreaSizes();
            if (UserOf(config.DescriptorArea, descriptor) is { } descriptors && UserOf(config.DriverArea, driver) is { } available
                && UserOf(config.DeviceArea, device) is { } used)
            {
                int ring = _shape.RingOf(setup.Index, _accepted);
                var address = new VringAddress((uint)ring, VringAddressFlags.None, descriptors, used, available, log: 0);
                _queues[setup.Index] = new VhostUserQueue(config, ring, address, _kicks[setup.Index]) { Call = setup.Call };
                return true;
            }

            error = $"its areas at {config.DescriptorArea}, {config.DriverArea} and {config.DeviceArea} are not each inside one range of memory";
        }

        Break($"the driver's queue {setup.Index}: {error}");
        return false;
    }

    /// <summary>The label of a guest address, if the whole area lies in one region.</summary>
    private ulong? UserOf(GuestAddress address, uint lengthBytes)
    {
        foreach (GuestRamRegion region in _regions)
        {
            ulong offset = address.Value - region.Guest.Value;
            if (offset < region.SizeBytes && lengthBytes <= region.SizeBytes - offset)
            {
                return region.User.Value + offset;
            }
        }

        return null;
    }

    /// <summary>A start that the driver asked for. What a living back-end refuses then is the driver's fault, and trying again would not help.</summary>
    private void Begin(Action start)
    {
        _ = Attempt(() =>
        {
            CheckFeatures();
            try
            {
                start();
            }
            catch (FrontendException refusal) when (_frontend!.IsUsable)
            {
                Counters.CountRefusal(refusal.Message);
                Within(ResetLimit, () => StopRings(_queues.Values)); // a reset that comes next waits for this
                Break(refusal.Message);
            }
        });
    }

    /// <summary>A back-end that came in place of another may be poorer than what the driver has accepted.</summary>
    private void CheckFeatures()
    {
        ulong missing = _shape.FeaturesFor(_frontend!, _accepted) & ~_frontend!.OfferedFeatures;
        if (missing != 0)
        {
            throw new FrontendException($"it lacks features that the driver uses (0x{missing:x})");
        }
    }

    /// <summary>Everything that a back-end needs to serve the started queues, in one go.</summary>
    /// <param name="isReplay">It goes on in place of another, or after a pause.</param>
    private void Activate(bool isReplay)
    {
        CheckFeatures();
        VhostUserFrontend frontend = _frontend!;
        frontend.SetFeatures(_shape.FeaturesFor(frontend, _accepted));
        if (_options.MtuBytes is { } mtu && frontend.Has(ProtocolFeatures.Mtu))
        {
            frontend.SetMtu(mtu);
        }

        frontend.SetStatus(Negotiated);
        TellMemory();
        foreach (VhostUserQueue queue in _queues.Values)
        {
            frontend.SetVringNum(queue.Ring, queue.Config.Size);
        }

        TellInflight();
        if (!TryLocate())
        {
            return;
        }

        // Enabled before it starts: of a ring that runs and is not enabled yet, a back-end would take the frames that wait there and drop them. The control
        // queue first: until it runs nobody has said which pairs are in use.
        foreach (VhostUserQueue queue in _queues.Values.OrderBy(ring => _shape.IsControl(ring.Config.Index) ? 0 : 1))
        {
            frontend.SetVringEnable(queue.Ring, enabled: true);
            Tell(queue);
        }

        frontend.SetStatus(Negotiated | VirtioStatus.DriverOk);
        foreach (VhostUserQueue queue in _queues.Values)
        {
            queue.Kick.Signal();
            if (isReplay)
            {
                // The other one may have died between publishing buffers and signalling them; a call too many harms nobody.
                queue.Call?.Signal();
            }
        }
    }

    /// <summary>Finds the positions that a dead back-end has left.</summary>
    /// <returns>False when nobody can know one: the driver has to reset the device.</returns>
    private bool TryLocate()
    {
        foreach (VhostUserQueue queue in _queues.Values)
        {
            if (queue.Position is null)
            {
                // Network devices complete each ring in order, whether or not they promise it: their rings are wires.
                bool inOrder = DeviceId == VhostUserOptions.NetDevice || queue.Config.Has(VirtioQueues.Spec.VirtioFeatures.InOrder);
                queue.Position = RingPosition.Find(queue.Config, _regions, inOrder);
                if (queue.Position is null)
                {
                    Break($"the back-end died with requests under way in queue {queue.Config.Index}, and keeps no record of them");
                    return false;
                }
            }
        }

        return true;
    }

    private void Tell(VhostUserQueue queue)
    {
        VhostUserFrontend frontend = _frontend!;
        frontend.SetVringAddress(queue.Address);
        frontend.SetVringBase(queue.Ring, queue.Position!.Value);
        frontend.SetVringCall(queue.Ring, queue.Call);
        frontend.SetVringErr(queue.Ring, _error);
        queue.Begun = queue.Position.Value;
        queue.IsRunning = true;
        frontend.SetVringKick(queue.Ring, queue.Kick);
    }

    /// <summary>
    /// How long all that a reset asks of a back-end may take, I/O under way included: then it counts as gone (threats H1). The driver stands still meanwhile. One that resets in
    /// order has let its requests complete before, and of one that crashed nobody is left to hear of them: they may as well stay undone, as after any
    /// reset. Neither a successor nor the driver comes before the kernel is done with a worker that was given up; a back-end that others have started has
    /// <see cref="Workers.IBackEnd.SettleTime"/> to settle, and one that goes on longer without a word would write into memory that the guest uses for something else.
    /// </summary>
    private TimeSpan ResetLimit => _options.Frontend.ReplyTimeout;

    /// <summary>
    /// The same for a pause, of which the guest knows nothing: its requests go on afterwards, so that a slow disk is waited for, longer than Linux waits for a
    /// request of a disk (30 s). All rings finish their I/O at the same time, so one limit does for all.
    /// </summary>
    private TimeSpan PauseLimit => _options.Frontend.ReplyTimeout * VhostUserFrontend.StopPatience;

    /// <summary>Has all that <paramref name="steps"/> ask of the present back-end answered within <paramref name="limit"/>.</summary>
    private void Within(TimeSpan limit, Action steps)
    {
        if (_frontend is { } bounded)
        {
            bounded.Deadline = In(limit);
        }

        steps();
        if (_frontend is { } kept)
        {
            kept.Deadline = long.MaxValue;
        }
    }

    private void StopRings(ICollection<VhostUserQueue> queues)
    {
        foreach (VhostUserQueue queue in queues)
        {
            if (queue.IsRunning)
            {
                _frontend!.SetVringEnable(queue.Ring, enabled: false);
            }
        }

        foreach (VhostUserQueue queue in queues)
        {
            if (queue.IsRunning)
            {
                queue.Position = _frontend!.GetVringBase(queue.Ring);
                queue.IsRunning = false;
            }
        }
    }

    /// <summary>Tells the present back-end of regions that it does not know yet.</summary>
    private void TellMemory()
    {
        VhostUserFrontend frontend = _frontend!;
        if ((ulong)_regions.Count > frontend.MemorySlots)
        {
            throw new FrontendException($"{_regions.Count} memory regions: the back-end takes {frontend.MemorySlots}");
        }

        if (!frontend.Has(ProtocolFeatures.ConfigureMemSlots))
        {
            if (_toldRegions < _regions.Count)
            {
                frontend.SetMemoryTable(_regions);
                _toldRegions = _regions.Count;
            }

            return;
        }

        for (; _toldRegions < _regions.Count; _toldRegions++)
        {
            frontend.AddMemory(_regions[_toldRegions]);
        }
    }

    private void Break(string reason)
    {
        _isBroken = true;
        Counters.CountNeedsReset(reason);
        _options.Log($"{Name}: {reason}; the driver has to reset the device");
        NeedsReset?.Invoke();
    }
}
