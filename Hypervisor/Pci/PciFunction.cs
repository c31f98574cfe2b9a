using System.Buffers.Binary;
using System.Diagnostics;

namespace Paravane.Hypervisor.Pci;

/// <summary>A PCI function: header, capabilities, BARs that the guest can size and move, and a wired interrupt.</summary>
/// <remarks>
/// Any thread. <see cref="Gate"/> guards everything, and is held for moments: calls under it go to address and interrupt tables, never to
/// something that waits. All members that a derived class sees are called with the gate held unless they say otherwise.
/// </remarks>
internal abstract partial class PciFunction
{
    private readonly byte[] _config = new byte[PciConfig.SizeBytes];
    private readonly byte[] _writable = new byte[PciConfig.SizeBytes]; // bits the guest can change
    private readonly List<PciBar> _bars = [];
    private int _capabilityEnd = PciConfig.HeaderEnd;
    private int _lastCapability;
    private PciPlace? _place; // null: not on a bus (yet, or any more)
    private bool _lineWanted;

    /// <summary>Makes a function with an empty list of capabilities.</summary>
    /// <param name="name">For counters and logs.</param>
    /// <param name="vendor">Vendor id.</param>
    /// <param name="device">Device id.</param>
    /// <param name="classCode">Class, subclass and interface, 24 bits.</param>
    /// <param name="revision">Revision.</param>
    protected PciFunction(string name, ushort vendor, ushort device, uint classCode, byte revision)
    {
        Name = name;
        SetConfig16(PciConfig.Vendor, vendor);
        SetConfig16(PciConfig.Device, device);
        SetConfig32(PciConfig.Revision, revision | (classCode << 8));
        MakeWritable16(PciConfig.Command, PciConfig.CommandMemory | PciConfig.CommandMaster | PciConfig.CommandIntxDisable);
    }

    /// <summary>For counters and logs.</summary>
    public string Name { get; }

    /// <summary>The lock of this device. It can be taken again by the thread that has it.</summary>
    protected Lock Gate { get; } = new();

    /// <summary>True while the function is on a bus.</summary>
    protected bool IsAttached => _place is not null;

    /// <summary>Configuration space as the guest reads it.</summary>
    protected ReadOnlySpan<byte> Config => _config;

    /// <summary>Reads configuration space (any thread, without the gate).</summary>
    /// <param name="offset">0 to 4095.</param>
    /// <param name="data">Filled; the access does not go past 4095.</param>
    public void ReadConfig(int offset, Span<byte> data)
    {
        lock (Gate)
        {
            if (_place is null)
            {
                data.Fill(0xFF);
                return;
            }

            data.Clear();
            if (offset < PciConfig.SizeBytes)
            {
                int lengthBytes = Math.Min(data.Length, PciConfig.SizeBytes - offset);
                OnConfigRead(offset, lengthBytes);
                _config.AsSpan(offset, lengthBytes).CopyTo(data);
            }
        }
    }

    /// <summary>Writes configuration space (any thread, without the gate).</summary>
    /// <param name="offset">0 to 4095.</param>
    /// <param name="data">The access does not go past 4095.</param>
    public void WriteConfig(int offset, ReadOnlySpan<byte> data)
    {
        if (offset >= PciConfig.SizeBytes)
        {
            return;
        }

        lock (Gate)
        {
            if (_place is null)
            {
                return;
            }

            int lengthBytes = Math.Min(data.Length, PciConfig.SizeBytes - offset);
            for (int i = 0; i < lengthBytes; i++)
            {
                byte mask = _writable[offset + i];
                _config[offset + i] = (byte)((_config[offset + i] & ~mask) | (data[i] & mask));
            }

            if (Touches(offset, lengthBytes, PciConfig.Command, sizeof(ushort)))
            {
                ApplyCommand();
            }

            if (Touches(offset, lengthBytes, PciConfig.Bar0, PciConfig.BarEnd - PciConfig.Bar0))
            {
                ApplyBars(offset, lengthBytes);
            }

            OnConfigWritten(offset, lengthBytes);
        }
    }

    /// <summary>Gives the function its place (bus, without the gate): claims room for its BARs. The guest does not see it yet.</summary>
    /// <returns>False, and nothing changed, when a BAR finds no room.</returns>
    internal bool TryAttach(PciPlace place)
    {
        lock (Gate)
        {
            Debug.Assert(_place is null, "a function is on one bus");
            for (int i = 0; i < _bars.Count; i++)
            {
                PciBar bar = _bars[i];
                if (!place.Space.TryAllocate(bar.Is64 ? BarSpace.High : BarSpace.Low, bar.SizeBytes, out ulong address))
                {
                    while (--i >= 0)
                    {
                        place.Space.Free(_bars[i].Address, _bars[i].SizeBytes);
                    }

                    return false;
                }

                bar.HomeAddress = bar.Address = address;
                ShowAddress(bar);
            }

            _place = place;
            if (_config[PciConfig.InterruptPin] != 0)
            {
                _config[PciConfig.InterruptLine] = (byte)IntxLines.GsiOf(place.Slot);
            }

            OnAttached();
            return true;
        }
    }

    /// <summary>Takes the function off its bus (any thread, without the gate): windows, interrupts and doorbells are gone when this returns.</summary>
    /// <param name="done">Called on the device's thread when nothing behind the function touches guest memory any more.</param>
    /// <returns><paramref name="done"/>, for the caller to call, when there is nothing to wait for.</returns>
    internal Action? Detach(Action done)
    {
        lock (Gate)
        {
            Debug.Assert(_place is not null, "the bus removes what it has");
            Action? finish = OnDetach(done);
            PowerOn();
            foreach (PciBar bar in _bars)
            {
                _place.Space.Free(bar.Address, bar.SizeBytes);
            }

            _place = null;
            return finish;
        }
    }

    /// <summary>Back to the state after power-on, for a reboot of the guest (any thread, without the gate).</summary>
    /// <param name="done">As for <see cref="Detach"/>.</param>
    /// <returns>As of <see cref="Detach"/>.</returns>
    internal Action? Reset(Action done)
    {
        lock (Gate)
        {
            if (_place is null)
            {
                return done;
            }

            Action? finish = OnReset(done);
            PowerOn();
            return finish;
        }
    }

    /// <summary>Adds a capability; at construction.</summary>
    /// <param name="id">Capability id.</param>
    /// <param name="body">What follows id and next pointer.</param>
    /// <param name="writable">Bits of <paramref name="body"/> that the guest can change; shorter: the rest cannot be.</param>
    /// <returns>Its offset in configuration space.</returns>
    protected int AddCapability(byte id, ReadOnlySpan<byte> body, ReadOnlySpan<byte> writable = default)
    {
        int offset = _capabilityEnd;
        int lengthBytes = (2 + body.Length + 3) & ~3;
        Debug.Assert(offset + lengthBytes <= PciConfig.SizeBytes, "the capabilities of a function are few");
        _config[_lastCapability == 0 ? PciConfig.CapabilityPointer : _lastCapability + 1] = (byte)offset;
        _config[offset] = id;
        body.CopyTo(_config.AsSpan(offset + 2));
        writable.CopyTo(_writable.AsSpan(offset + 2));
        _lastCapability = offset;
        _capabilityEnd = offset + lengthBytes;
        SetConfig16(PciConfig.Status, (ushort)(Config16(PciConfig.Status) | PciConfig.StatusCapabilities));
        return offset;
    }

    /// <summary>Adds a memory BAR; at construction.</summary>
    protected void AddBar(PciBar bar)
    {
        _bars.Add(bar);
        ulong mask = ~(bar.SizeBytes - 1);
        BinaryPrimitives.WriteUInt32LittleEndian(_writable.AsSpan(bar.ConfigOffset), (uint)mask);
        if (bar.Is64)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(_writable.AsSpan(bar.ConfigOffset + 4), (uint)(mask >> 32));
        }
    }

    /// <summary>Gives the function INTA; at construction.</summary>
    protected void AddIntx()
    {
        _config[PciConfig.InterruptPin] = 1;
        _writable[PciConfig.InterruptLine] = 0xFF;
    }

    /// <summary>Raises or lowers INTA.</summary>
    protected void SetIntx(bool wanted)
    {
        _lineWanted = wanted;
        ushort status = Config16(PciConfig.Status);
        SetConfig16(PciConfig.Status, (ushort)(wanted ? status | PciConfig.StatusInterrupt : status & ~PciConfig.StatusInterrupt));
        _place?.Lines.Set(_place.Slot, wanted && (Config16(PciConfig.Command) & PciConfig.CommandIntxDisable) == 0);
    }

    /// <summary>Reads a configuration word.</summary>
    protected ushort Config16(int offset) => BinaryPrimitives.ReadUInt16LittleEndian(_config.AsSpan(offset));

    /// <summary>Reads a configuration double word.</summary>
    protected uint Config32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_config.AsSpan(offset));

    /// <summary>Changes a configuration word, whatever the guest may.</summary>
    protected void SetConfig16(int offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(_config.AsSpan(offset), value);

    /// <summary>Changes a configuration double word, whatever the guest may.</summary>
    protected void SetConfig32(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_config.AsSpan(offset), value);

    /// <summary>A part of configuration space, to be changed whatever the guest may.</summary>
    protected Span<byte> ConfigBytes(int offset, int lengthBytes) => _config.AsSpan(offset, lengthBytes);

    /// <summary>True when an access touches a register.</summary>
    protected static bool Touches(int offset, int lengthBytes, int register, int registerBytes) =>
        offset < register + registerBytes && register < offset + lengthBytes;

    /// <summary>The function has its place on a bus; the guest sees it soon.</summary>
    protected virtual void OnAttached()
    {
    }

    /// <summary>The guest is about to read; the last chance to bring the bytes up to date.</summary>
    protected virtual void OnConfigRead(int offset, int lengthBytes)
    {
    }

    /// <summary>The guest has written; header and BARs have seen to themselves.</summary>
    protected virtual void OnConfigWritten(int offset, int lengthBytes)
    {
    }

    /// <summary><paramref name="bar"/> is about to answer at its <see cref="PciBar.Address"/>.</summary>
    protected virtual void OnMapped(PciBar bar)
    {
    }

    /// <summary><paramref name="bar"/> does not answer any more at its <see cref="PciBar.Address"/>.</summary>
    protected virtual void OnUnmapped(PciBar bar)
    {
    }

    /// <summary>The function leaves its bus: it stops its device and gives back interrupts. Windows and INTx see to themselves.</summary>
    /// <param name="done">To be called, without the gate, when the device has stopped.</param>
    /// <returns><paramref name="done"/> where there is nothing to wait for.</returns>
    protected virtual Action? OnDetach(Action done) => done;

    /// <summary>As <see cref="OnDetach"/>, but the function stays and starts afresh.</summary>
    protected virtual Action? OnReset(Action done) => done;

    private void PowerOn()
    {
        SetConfig16(PciConfig.Command, 0);
        ApplyCommand();
        SetIntx(false);
        foreach (PciBar bar in _bars)
        {
            // Home may have been taken by another BAR meanwhile; then this one stays where it is.
            if (_place is not null && _place.Space.TryMove(bar.Address, bar.HomeAddress, bar.SizeBytes, bar.Is64))
            {
                bar.Address = bar.HomeAddress;
            }

            ShowAddress(bar);
        }

        if (_place is not null && _config[PciConfig.InterruptPin] != 0)
        {
            _config[PciConfig.InterruptLine] = (byte)IntxLines.GsiOf(_place.Slot);
        }
    }

    private void ApplyCommand()
    {
        bool decode = (Config16(PciConfig.Command) & PciConfig.CommandMemory) != 0;
        foreach (PciBar bar in _bars)
        {
            if (!decode)
            {
                Unmap(bar);
            }
            else if (!bar.IsMapped)
            {
                Settle(bar);
                Map(bar);
            }
        }

        SetIntx(_lineWanted);
    }

    private void MakeWritable16(int offset, ushort bits) => BinaryPrimitives.WriteUInt16LittleEndian(_writable.AsSpan(offset), bits);
}
