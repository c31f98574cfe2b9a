using System.Buffers.Binary;
using System.Numerics;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Memory;

namespace Paravane.Hypervisor.Legacy;

/// <summary>
/// The page of registers behind ACPI's generic event device: power button, PCI and memory hot plug. The methods in the DSDT are its driver.
/// </summary>
/// <remarks>
/// Any thread. The interrupt is level-triggered and stays up until the guest has read the events: what happens before the guest listens, or while it
/// handles another event, is not lost. An access of several bytes is as many of one byte.
/// </remarks>
internal sealed class EventDevice : IBusDevice
{
    /// <summary>Length of the range on the bus.</summary>
    public const int LengthBytes = 0x1000;

    /// <summary>u32 <see cref="EventBits"/>; reading clears.</summary>
    public const int EventsOffset = 0x00;

    /// <summary>u32, bit per slot: memory that was plugged in; reading clears.</summary>
    public const int MemoryUpOffset = 0x04;

    /// <summary>u32, bit per slot: PCI devices that were plugged in; reading clears.</summary>
    public const int PciUpOffset = 0x08;

    /// <summary>u32, bit per slot: PCI devices that the guest shall let go; reading clears.</summary>
    public const int PciDownOffset = 0x0C;

    /// <summary>u32, bit per slot, written by the guest: PCI devices that it has let go.</summary>
    public const int EjectOffset = 0x10;

    /// <summary>Registers of memory slot 0; the others follow.</summary>
    public const int MemorySlotsOffset = 0x100;

    /// <summary>Registers of one memory slot: u64 address, u64 length in bytes, u32 1 when there is memory.</summary>
    public const int MemorySlotBytes = 0x20;

    /// <summary>Memory slots.</summary>
    public const int MaxMemorySlots = 32;

    private const int SlotsPerBus = 32;

    private readonly Lock _lock = new();
    private readonly IInterruptController _interrupts;
    private readonly uint _slots;
    private readonly Action<int> _ejected;

    // Guarded by the lock: the registers as the guest sees them, and the level of the line.
    private readonly byte[] _clearing = new byte[EjectOffset];
    private readonly byte[] _memory = new byte[MaxMemorySlots * MemorySlotBytes];
    private bool _level;

    /// <summary>Creates the device.</summary>
    /// <param name="interrupts">Gets <see cref="AddressMap.EventGsi"/>.</param>
    /// <param name="slots">Bit n: PCI device n can be plugged.</param>
    /// <param name="ejected">
    /// Called when the guest has let a PCI device go, with its slot, on a vCPU thread: must return at once. The guest may do so at any time, asked or not.
    /// </param>
    public EventDevice(IInterruptController interrupts, uint slots, Action<int> ejected)
    {
        _interrupts = interrupts;
        _slots = slots;
        _ejected = ejected;
    }

    /// <summary>Presses the power button.</summary>
    public void PressPowerButton()
    {
        lock (_lock)
        {
            Raise(EventBits.PowerButton);
        }
    }

    /// <summary>Tells the guest that there is a device in <paramref name="slot"/>; it answers already.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Nothing can be plugged there.</exception>
    public void PlugPci(int slot) => SignalSlot(slot, PciUpOffset);

    /// <summary>Asks the guest to let the device in <paramref name="slot"/> go. A guest that does not want to says nothing.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Nothing can be plugged there.</exception>
    public void RequestEject(int slot) => SignalSlot(slot, PciDownOffset);

    /// <summary>The device in <paramref name="slot"/> is gone: what the guest was not told of it yet would be taken for the next one.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Nothing can be plugged there.</exception>
    public void Forget(int slot)
    {
        RequireSlot(slot);
        lock (_lock)
        {
            ClearBits(PciUpOffset, 1u << slot);
            ClearBits(PciDownOffset, 1u << slot);
        }
    }

    /// <summary>Tells the guest that there is memory; it and the back-ends must have it already. It stays over a restart of the guest.</summary>
    /// <param name="slot">0 to <see cref="MaxMemorySlots"/> − 1; each is filled once.</param>
    /// <param name="address">Guest physical address.</param>
    /// <param name="lengthBytes">Length in bytes; Linux takes multiples of 128 MiB.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such slot, or it is filled.</exception>
    public void PlugMemory(int slot, ulong address, ulong lengthBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(slot);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(slot, MaxMemorySlots);
        lock (_lock)
        {
            Span<byte> registers = _memory.AsSpan(slot * MemorySlotBytes, MemorySlotBytes);
            ArgumentOutOfRangeException.ThrowIfNotEqual(registers[16], 0, nameof(slot));
            BinaryPrimitives.WriteUInt64LittleEndian(registers, address);
            BinaryPrimitives.WriteUInt64LittleEndian(registers[8..], lengthBytes);
            registers[16] = 1;
            SetBits(MemoryUpOffset, 1u << slot);
            Raise(EventBits.Memory);
        }
    }

    /// <summary>The guest starts anew: what was not yet told is forgotten, since it will look at everything. Memory stays.</summary>
    public void Reset()
    {
        lock (_lock)
        {
            _clearing.AsSpan().Clear();
            SetLevel(false);
        }
    }

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> data)
    {
        lock (_lock)
        {
            for (int i = 0; i < data.Length; i++)
            {
                data[i] = ReadByte(offset + (ulong)i);
            }

            if (_level && BinaryPrimitives.ReadUInt32LittleEndian(_clearing) == 0)
            {
                SetLevel(false);
            }
        }
    }

    /// <inheritdoc/>
    public void Write(ulong offset, ReadOnlySpan<byte> data)
    {
        uint ejected = 0;
        for (int i = 0; i < data.Length; i++)
        {
            ulong at = offset + (ulong)i - EjectOffset;
            if (at < sizeof(uint))
            {
                ejected |= (uint)data[i] << (8 * (int)at);
            }
        }

        for (ejected &= _slots; ejected != 0; ejected &= ejected - 1)
        {
            int slot = BitOperations.TrailingZeroCount(ejected);
            Forget(slot);
            _ejected(slot);
        }
    }

    private byte ReadByte(ulong offset)
    {
        if (offset < (ulong)_clearing.Length)
        {
            byte value = _clearing[offset];
            _clearing[offset] = 0;
            return value;
        }

        if (offset - EjectOffset < sizeof(uint))
        {
            return 0;
        }

        ulong inMemory = offset - MemorySlotsOffset; // below wraps to a huge value
        return inMemory < (ulong)_memory.Length ? _memory[inMemory] : byte.MaxValue;
    }

    private void SignalSlot(int slot, int offset)
    {
        RequireSlot(slot);
        lock (_lock)
        {
            SetBits(offset, 1u << slot);
            Raise(EventBits.Pci);
        }
    }

    private void RequireSlot(int slot)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(slot);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(slot, SlotsPerBus);
        ArgumentOutOfRangeException.ThrowIfZero(_slots & (1u << slot), nameof(slot));
    }

    private void Raise(EventBits bit)
    {
        SetBits(EventsOffset, (uint)bit);
        SetLevel(true);
    }

    private void SetBits(int offset, uint bits)
    {
        Span<byte> register = _clearing.AsSpan(offset, sizeof(uint));
        BinaryPrimitives.WriteUInt32LittleEndian(register, BinaryPrimitives.ReadUInt32LittleEndian(register) | bits);
    }

    private void ClearBits(int offset, uint bits)
    {
        Span<byte> register = _clearing.AsSpan(offset, sizeof(uint));
        BinaryPrimitives.WriteUInt32LittleEndian(register, BinaryPrimitives.ReadUInt32LittleEndian(register) & ~bits);
    }

    private void SetLevel(bool level)
    {
        if (_level != level)
        {
            _level = level;
            _interrupts.SetLine(AddressMap.EventGsi, level);
        }
    }
}
