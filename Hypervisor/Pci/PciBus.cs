using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Pci;

/// <summary>The one PCI bus: 32 slots of one function each, slot 0 is the host bridge. Functions come and go while the guest runs.</summary>
/// <remarks>
/// Any thread. Configuration accesses (vCPU threads) take no lock of the bus. A function is visible once its BARs have their places, and not
/// any more before it gives anything back.
/// </remarks>
internal sealed class PciBus
{
    /// <summary>Slots, the host bridge's included.</summary>
    public const int SlotCount = 32;

    private readonly Lock _gate = new();
    private readonly PciFunction?[] _slots = new PciFunction?[SlotCount];
    private readonly bool[] _held = new bool[SlotCount]; // of a function that was taken away and that the guest still believes in; guarded by the gate
    private readonly Dictionary<PciFunction, Action?> _leaving = []; // taken out while their devices stop, and who waits for that; guarded by the gate
    private readonly BarSpace _space = new();
    private readonly IntxLines _lines;
    private readonly IMemoryWindows _windows;

    /// <summary>Makes a bus that has only its host bridge.</summary>
    /// <param name="windows">Where BARs answer.</param>
    /// <param name="interrupts">Takes wired interrupts.</param>
    public PciBus(IMemoryWindows windows, IInterruptController interrupts)
    {
        _windows = windows;
        _lines = new IntxLines(interrupts);
        Ecam = new PciEcam(this);
        Ports = new PciConfigPorts(this);
        TryAdd(new HostBridge(), out _);
    }

    /// <summary>Raised when a removed function's device has stopped for good; on the thread that removed it, or on the device's.</summary>
    public event Action<int, PciFunction>? Removed;

    /// <summary>Configuration space in memory, <see cref="Memory.AddressMap.EcamBytes"/> at <see cref="Memory.AddressMap.Ecam"/>.</summary>
    public IBusDevice Ecam { get; }

    /// <summary>Configuration space by ports, <see cref="PciConfigPorts.PortCount"/> from <see cref="PciConfigPorts.FirstPort"/> on.</summary>
    public IBusDevice Ports { get; }

    /// <summary>Puts <paramref name="function"/> into the lowest free slot.</summary>
    /// <returns>False when all slots are taken or its BARs find no room; nothing changed then.</returns>
    public bool TryAdd(PciFunction function, out int slot)
    {
        lock (_gate)
        {
            slot = 0;
            while (slot < SlotCount && (_slots[slot] is not null || _held[slot]))
            {
                slot++;
            }

            if (slot == SlotCount || !function.TryAttach(new PciPlace(slot, _space, _windows, _lines)))
            {
                return false;
            }

            Volatile.Write(ref _slots[slot], function); // Release: complete before it can be found. Pairs with the acquire in At.
            return true;
        }
    }

    /// <summary>Takes the function out of <paramref name="slot"/>: the guest has let it go, so that the slot is free at once.</summary>
    /// <returns>False when there is none, or the host bridge. Otherwise <see cref="Removed"/> follows.</returns>
    public bool Remove(int slot) => Remove(slot, hold: false);

    /// <summary>
    /// Takes the function away without the guest's word. The slot stays empty until that comes (<see cref="Remove(int)"/>) or the guest restarts: Linux would
    /// take a new function there for the old one, and eject it.
    /// </summary>
    /// <returns>As there.</returns>
    public bool Force(int slot) => Remove(slot, hold: true);

    private bool Remove(int slot, bool hold)
    {
        Action? finish;
        lock (_gate)
        {
            if (slot is <= 0 or >= SlotCount)
            {
                return false;
            }

            PciFunction? function = _slots[slot];
            _held[slot] = hold && (function is not null || _held[slot]);
            if (function is null)
            {
                return false;
            }

            Volatile.Write(ref _slots[slot], null);

            // Within the lock: the slot's interrupt line must be quiet before a new function can get it.
            _leaving.Add(function, null);
            finish = function.Detach(() => Part(slot, function));
        }

        finish?.Invoke();
        return true;
    }

    /// <summary>A removed function's device has stopped.</summary>
    private void Part(int slot, PciFunction function)
    {
        Action? waiting;
        lock (_gate)
        {
            _leaving.Remove(function, out waiting);
        }

        Removed?.Invoke(slot, function);
        waiting?.Invoke();
    }

    /// <summary>Brings all functions into the state after power-on, for a reboot of the guest.</summary>
    /// <param name="done">Called when no device touches guest memory any more, not even one that was removed; at once, or on a device's thread.</param>
    public void Reset(Action done)
    {
        int missing;
        Action?[] finishes;
        lock (_gate)
        {
            PciFunction[] functions = [.. _slots.OfType<PciFunction>()];
            Array.Clear(_held);
            missing = functions.Length + _leaving.Count;
            foreach (PciFunction function in _leaving.Keys)
            {
                _leaving[function] += Arrive;
            }

            // Within the lock: one that is removed meanwhile would be neither here nor there.
            finishes = [.. functions.Select(function => function.Reset(Arrive))];
        }

        foreach (Action? finish in finishes)
        {
            finish?.Invoke();
        }

        void Arrive()
        {
            if (Interlocked.Decrement(ref missing) == 0)
            {
                done();
            }
        }
    }

    /// <summary>The function in <paramref name="slot"/>, if there is one.</summary>
    public PciFunction? At(int slot) => (uint)slot < SlotCount ? Volatile.Read(ref _slots[slot]) : null;
}
