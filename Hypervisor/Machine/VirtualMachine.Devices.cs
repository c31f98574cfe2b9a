using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Pci;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;

namespace Paravane.Hypervisor.Machine;

/// <content>Devices and memory, at the start and while the guest runs. The machine's thread.</content>
internal sealed partial class VirtualMachine
{
    /// <summary>Longest wait for devices to stop when the guest restarts: more than one needs to give its back-end up and to see its worker ended.</summary>
    private static readonly TimeSpan s_resetPatience = TimeSpan.FromSeconds(30);

    /// <summary>Wired interrupts of virtio-mmio windows: all that nobody else has.</summary>
    private static readonly int[] s_windowGsis = [5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

    /// <summary>Adds a device to the running machine and tells the guest.</summary>
    /// <returns>Its name.</returns>
    /// <exception cref="IOException">It cannot be had; nothing changed.</exception>
    public string AddDevice(DeviceOptions options)
    {
        if (_pci is null)
        {
            throw new MachineException("devices cannot be added: virtio-mmio has no hot plug; start the machine with --transport=pci");
        }

        VhostUserFunction function = options.Open(NameOf(options), _options.Cpus, _memory.Regions, _log, _ending.Token);
        MachineDevice device;
        try
        {
            device = Attach(function);
        }
        catch
        {
            function.Dispose();
            throw;
        }

        _events.PlugPci(device.Place);
        return function.Name;
    }

    /// <summary>Asks the guest to let a device go, or takes it away.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="force">Without asking.</param>
    /// <exception cref="MachineException">There is no such device, or it cannot go.</exception>
    public void RemoveDevice(string name, bool force)
    {
        MachineDevice device = Find(name);
        if (device.Pci is null)
        {
            throw new MachineException($"{name} cannot be removed: virtio-mmio has no hot plug");
        }

        if (force)
        {
            _events.Forget(device.Place);
            _pci!.Force(device.Place);
        }
        else
        {
            device.IsLeaving = true;
            _events.RequestEject(device.Place);
        }
    }

    /// <summary>Adds memory to the running machine: KVM has it first, then every back-end, then the guest hears of it.</summary>
    /// <exception cref="IOException">There is none, or a back-end does not take it; nothing changed.</exception>
    public void AddMemory(ulong sizeBytes)
    {
        if (sizeBytes == 0 || sizeBytes % MachineMemory.AddGranule != 0)
        {
            throw new MachineException($"{sizeBytes} bytes of memory cannot be added: a multiple of {MachineMemory.AddGranule >> 20}M is needed");
        }

        if (_memorySlots == Legacy.EventDevice.MaxMemorySlots)
        {
            throw new MachineException($"memory was added {_memorySlots} times already, which is as often as there are slots");
        }

        GuestRamRegion region = _memory.Add(sizeBytes, _vm.AddMemory);
        try
        {
            Task.WaitAll([.. _devices.Select(device => device.Function.AddMemoryAsync(region))]);
        }
        catch (AggregateException failure)
        {
            Task.WaitAll([.. _devices.Select(device => device.Function.RemoveMemoryAsync(region))]); // others may have taken it
            _memory.TakeBack(_vm.RemoveMemory);
            throw new MachineException($"the memory was not added for the guest: {failure.InnerException!.Message}", failure);
        }

        _events.PlugMemory(_memorySlots++, region.Guest.Value, region.SizeBytes);
    }

    /// <summary>Stands still: first the vCPUs, then all rings.</summary>
    public void Pause()
    {
        if (!_isPaused)
        {
            _isPaused = true;
            _vcpus.Pause();
            Task.WaitAll([.. _devices.Select(device => device.Function.PauseAsync())]);
        }
    }

    /// <summary>Goes on after <see cref="Pause"/>.</summary>
    public void Resume()
    {
        if (_isPaused)
        {
            Task.WaitAll([.. _devices.Select(device => device.Function.ResumeAsync())]);
            _isPaused = false;
            if (_vcpus.Stopped is null) // else the order that starts or ends the guest is on its way
            {
                _vcpus.Resume();
            }
        }
    }

    private static ulong WindowOf(int place) => AddressMap.VirtioMmio + ((ulong)place * AddressMap.VirtioMmioStride);

    private static int GsiOf(int place) => s_windowGsis[place];

    /// <summary>Every device needs a slot, or an interrupt of its own.</summary>
    /// <exception cref="MachineException">There are more devices than that.</exception>
    private static void RequirePlaces(Transport transport, int devices)
    {
        if (transport == Transport.Mmio && devices > s_windowGsis.Length)
        {
            throw new MachineException($"{devices} devices: --transport=mmio has interrupts for {s_windowGsis.Length}");
        }

        const int Slots = PciBus.SlotCount - 1; // but for the host bridge's
        if (transport == Transport.Pci && devices > Slots)
        {
            throw new MachineException($"{devices} devices: the PCI bus has slots for {Slots}");
        }
    }

    /// <summary>Begins to open all devices at once: each waits for a process of its own to come up.</summary>
    private void BeginOpening()
    {
        List<string> names = [.. _options.Devices.Select(options => options.Id).OfType<string>()]; // those that are made up keep clear of them
        IReadOnlyList<GuestRamRegion> regions = _memory.Regions;
        foreach (DeviceOptions options in _options.Devices)
        {
            string name = options.Id ?? FreeName(options.Kind, names);
            names.Add(name);
            _openings.Add(Task.Factory.StartNew(
                () => options.Open(name, _options.Cpus, regions, _log, _ending.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));
        }
    }

    /// <summary>Waits for all devices and attaches them in their order.</summary>
    private void AttachOpened()
    {
        try
        {
            Task.WaitAll([.. _openings]);
        }
        catch (AggregateException failures) when (failures.InnerException is IOException first)
        {
            throw new MachineException(first.Message, first);
        }

        while (_openings.Count > 0)
        {
            Attach(_openings[0].Result);
            _openings.RemoveAt(0);
        }
    }

    /// <summary>The machine ends before these were attached.</summary>
    private void GiveUpOpenings()
    {
        try
        {
            Task.WaitAll([.. _openings]);
        }
        catch (AggregateException)
        {
            // One of them is the reason and was told, or the reason came before all of them.
        }

        _openings.FindAll(opening => opening.IsCompletedSuccessfully).ForEach(opening => opening.Result.Dispose());
        _openings.Clear();
    }

    /// <summary>The user's name for a device that comes later, or one of its kind with the lowest free number.</summary>
    private string NameOf(DeviceOptions options)
    {
        List<string> taken = _devices.ConvertAll(device => device.Function.Name);
        return options.Id is not { } id ? FreeName(options.Kind, taken)
            : taken.Contains(id) ? throw new MachineException($"two devices cannot both be called {id}")
            : id;
    }

    private static string FreeName(string kind, List<string> taken)
    {
        for (int number = 0; ; number++)
        {
            string name = $"{kind}{number}";
            if (!taken.Contains(name))
            {
                return name;
            }
        }
    }

    private MachineDevice Attach(VhostUserFunction function)
    {
        MachineDevice device;
        if (_pci is null)
        {
            int place = _devices.Count;
            var mmio = new VirtioMmio(function, WindowOf(place), GsiOf(place), _vm.Interrupts, _vm);
            _windows.Add(WindowOf(place), VirtioMmio.WindowBytes, mmio, function.Name);
            device = new MachineDevice(function, null, mmio, place);
        }
        else
        {
            var pci = new VirtioPci(function.Name, function, _vm.Interrupts, _vm, _forwarder);
            device = _pci.TryAdd(pci, out int slot)
                ? new MachineDevice(function, pci, null, slot)
                : throw new MachineException($"{function.Name}: no slot of the PCI bus is free");
        }

        _devices.Add(device);
        return device;
    }

    private MachineDevice Find(string name) =>
        _devices.Find(device => device.Function.Name == name) ?? throw new MachineException($"there is no device called {name}");

    /// <summary>The guest let a device go, or it was taken away: it touches guest memory no more.</summary>
    private void Forget(int slot)
    {
        int index = _devices.FindIndex(device => device.Place == slot && _pci!.At(slot) != device.Pci);
        if (index >= 0)
        {
            MachineDevice device = _devices[index];
            _devices.RemoveAt(index);
            device.Function.Dispose();
        }
    }

    /// <summary>All devices as after power-on; returns when none touches guest memory.</summary>
    private void ResetDevices()
    {
        int missing = _devices.Count(device => device.Mmio is not null) + 1;
        using var done = new ManualResetEventSlim();
        void Arrive()
        {
            if (Interlocked.Decrement(ref missing) == 0)
            {
                done.Set();
            }
        }

        foreach (MachineDevice device in _devices)
        {
            device.Mmio?.Reset(Arrive);
        }

        if (_pci is null)
        {
            Arrive();
        }
        else
        {
            _pci.Reset(Arrive);
        }

        if (done.Wait(s_resetPatience))
        {
            return;
        }

        // One that answers each request late enough is as good as one that hangs: whoever has not stopped yet is given up.
        foreach (MachineDevice device in _devices)
        {
            device.Function.HangUp();
        }

        if (!done.Wait(s_resetPatience))
        {
            throw new MachineException($"a device did not stop within {s_resetPatience.TotalSeconds} s");
        }
    }

    /// <summary>The end: connections are cut first, so that all workers come to their end at the same time.</summary>
    private void CloseDevices()
    {
        foreach (MachineDevice device in _devices)
        {
            device.Function.Close();
        }

        foreach (MachineDevice device in _devices)
        {
            if (device.Pci is not null)
            {
                _pci!.Remove(device.Place);
            }
            else
            {
                device.Mmio!.Reset(static () => { });
            }

            device.Function.Dispose();
            device.Mmio?.Dispose();
        }

        _devices.Clear();
    }
}
