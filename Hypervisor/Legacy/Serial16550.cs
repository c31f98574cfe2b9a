using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Legacy;

/// <summary>A 16550A serial port. Its transmitter is always empty; its receiver is fed by <see cref="Receive"/>.</summary>
/// <remarks>
/// Any thread; one lock, held for moments. Input flows as from a peer that minds RTS: not before the guest has raised it or allows the interrupt, so that what
/// was typed before the guest opened the port is not swept away when it resets the receiver. An access of several bytes is as many of one byte, as on the ISA bus. The interrupt line follows the
/// conditions: it goes up with the first one and down when none is left, and the guest sees the edge. The receive FIFO is filled again when it is empty and
/// the line was down: input without end would keep the line up, and a handler that gives up after so many rounds (Linux: 512) would never see an edge again.
/// </remarks>
internal sealed class Serial16550 : IBusDevice
{
    /// <summary>Ports.</summary>
    public const byte PortCount = 8;

    /// <summary>Bytes that wait for the guest, beyond which <see cref="Receive"/> takes none.</summary>
    public const int InputBytes = 64 << 10;

    /// <summary>Depth of the receive FIFO.</summary>
    private const int FifoBytes = 16;

    private const ulong Data = 0, InterruptEnable = 1, InterruptId = 2, LineControl = 3, ModemControl = 4, LineStatus = 5, ModemStatus = 6, Scratch = 7;
    private const byte EnableReceived = 1, EnableTransmitted = 2, EnableLine = 4, EnableModem = 8;
    private const byte NothingPending = 1, IdModem = 0, IdTransmitted = 2, IdReceived = 4, IdLine = 6, IdTimeout = 12, IdFifos = 0xC0;
    private const byte FifoEnable = 1, FifoClearReceive = 2;
    private const byte DivisorLatch = 0x80, Loopback = 0x10, RequestToSend = 2;
    private const byte DataReady = 1, Overrun = 2, TransmitterEmpty = 0x60;

    /// <summary>Modem status of a line that is up: carrier, data set ready, clear to send.</summary>
    private const byte Connected = 0xB0;

    private readonly Lock _lock = new();
    private readonly IConsoleOutput _output;
    private readonly IInterruptController _interrupts;
    private readonly int _gsi;
    private readonly ByteQueue _input = new(InputBytes);
    private readonly ByteQueue _looped = new(FifoBytes);

    // Registers, guarded by the lock.
    private byte _interruptEnable, _fifoControl, _lineControl, _modemControl, _modemDelta, _scratch, _divisorLow, _divisorHigh;
    private bool _overrun, _transmittedPending, _level;

    /// <summary>Bytes in the receive FIFO: the oldest ones of the input.</summary>
    private int _received;

    /// <summary>The guest was told of them: it clears them when it clears its FIFO.</summary>
    private bool _shown;

    /// <summary>The interrupt line was down since the FIFO was filled.</summary>
    private bool _wasDown = true;

    /// <summary>Creates the port.</summary>
    /// <param name="output">What the guest writes.</param>
    /// <param name="interrupts">Gets <paramref name="gsi"/>.</param>
    /// <param name="gsi">Wired interrupt.</param>
    public Serial16550(IConsoleOutput output, IInterruptController interrupts, int gsi)
    {
        _output = output;
        _interrupts = interrupts;
        _gsi = gsi;
        SetPowerOn();
    }

    /// <summary>
    /// Input waits outside of the FIFO. Then <see cref="Receive"/> has to be called again before long, with nothing if need be: not every guest looks once
    /// more when it has emptied the FIFO.
    /// </summary>
    public bool IsBehind
    {
        get
        {
            lock (_lock)
            {
                return _input.Count > _received;
            }
        }
    }

    /// <summary>Takes input for the guest.</summary>
    /// <returns>Bytes taken; fewer than given when <see cref="InputBytes"/> wait already.</returns>
    public int Receive(ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            int taken = 0;
            while (taken < bytes.Length && _input.TryAdd(bytes[taken]))
            {
                taken++;
            }

            FillFifo();
            UpdateLine();
            return taken;
        }
    }

    /// <summary>The machine restarts: registers go back. Input that waits stays.</summary>
    public void Reset()
    {
        lock (_lock)
        {
            SetPowerOn();
            UpdateLine();
        }
    }

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> data)
    {
        lock (_lock)
        {
            for (int i = 0; i < data.Length; i++)
            {
                data[i] = ReadRegister(offset + (ulong)i);
                UpdateLine();
            }
        }
    }

    /// <inheritdoc/>
    public void Write(ulong offset, ReadOnlySpan<byte> data)
    {
        lock (_lock)
        {
            for (int i = 0; i < data.Length; i++)
            {
                WriteRegister(offset + (ulong)i, data[i]);

                // After each byte: two conditions that come and go within one access are two edges.
                UpdateLine();
            }
        }
    }

    private bool LatchOpen => (_lineControl & DivisorLatch) != 0;

    private bool Looping => (_modemControl & Loopback) != 0;

    private bool FifosOn => (_fifoControl & FifoEnable) != 0;

    private bool InterruptsForInput => (_interruptEnable & EnableReceived) != 0;

    /// <summary>The guest takes input. In loopback the line is cut.</summary>
    private bool IsOpen => !Looping && ((_modemControl & RequestToSend) != 0 || InterruptsForInput);

    /// <summary>Bytes that the receiver has.</summary>
    private int Waiting => Looping ? _looped.Count : IsOpen ? _received : 0;

    private int DepthBytes => FifosOn ? FifoBytes : 1;

    private int TriggerBytes => !FifosOn ? 1 : (_fifoControl >> 6) switch
    {
        0 => 1,
        1 => 4,
        2 => 8,
        _ => 14,
    };

    private void SetPowerOn()
    {
        _interruptEnable = _fifoControl = _lineControl = _modemControl = _modemDelta = _scratch = _divisorHigh = 0;
        _divisorLow = 1;
        _overrun = false;
        _transmittedPending = false;
        _received = 0;
        _looped.Drop(FifoBytes);
    }

    private byte ReadRegister(ulong register)
    {
        switch (register)
        {
            case Data when LatchOpen:
                return _divisorLow;
            case Data:
                return TakeReceived();
            case InterruptEnable:
                return LatchOpen ? _divisorHigh : _interruptEnable;
            case InterruptId:
                byte id = Pending();
                Show(id is IdReceived or IdTimeout);
                if (id == NothingPending)
                {
                    FillFifo();
                }

                _transmittedPending &= id != IdTransmitted; // reading it is one of the two ways to clear it
                return (byte)(id | (FifosOn ? IdFifos : 0));
            case LineControl:
                return _lineControl;
            case ModemControl:
                return _modemControl;
            case LineStatus:
                if (!InterruptsForInput)
                {
                    FillFifo(); // who polls looks nowhere else
                }

                byte line = (byte)(TransmitterEmpty | (Waiting > 0 ? DataReady : 0) | (_overrun ? Overrun : 0));
                Show((line & DataReady) != 0);
                _overrun = false;
                return line;
            case ModemStatus:
                byte modem = (byte)(ModemLines(_modemControl) | _modemDelta);
                _modemDelta = 0;
                return modem;
            case Scratch:
                return _scratch;
            default:
                return byte.MaxValue;
        }
    }

    private void WriteRegister(ulong register, byte value)
    {
        switch (register)
        {
            case Data when LatchOpen:
                _divisorLow = value;
                break;
            case Data:
                Transmit(value);
                break;
            case InterruptEnable when LatchOpen:
                _divisorHigh = value;
                break;
            case InterruptEnable:
                // The transmitter is empty, so allowing its interrupt raises it.
                _transmittedPending |= (value & EnableTransmitted) != 0 && (_interruptEnable & EnableTransmitted) == 0;
                _interruptEnable = (byte)(value & 0x0F);
                FillFifo();
                break;
            case InterruptId:
                SetFifoControl(value);
                break;
            case LineControl:
                _lineControl = value;
                break;
            case ModemControl:
                SetModemControl((byte)(value & 0x1F));
                FillFifo();
                break;
            case Scratch:
                _scratch = value;
                break;
            default:
                break; // status registers are read-only
        }
    }

    /// <summary>Lets the next input into the FIFO when it is empty, and where the guest waits for edges, only once per edge.</summary>
    private void FillFifo()
    {
        if (_received == 0 && IsOpen && (_wasDown || !InterruptsForInput))
        {
            _received = Math.Min(_input.Count, DepthBytes);
            _shown = false;
            _wasDown &= _received == 0; // the line that goes up for them has to come down first
        }
    }

    private void Show(bool received) => _shown |= received && !Looping;

    private byte TakeReceived()
    {
        if (Waiting == 0)
        {
            return 0;
        }

        if (Looping)
        {
            return _looped.Take();
        }

        _received--;
        return _input.Take();
    }

    private void Transmit(byte value)
    {
        _transmittedPending = true; // empty again
        if (!Looping)
        {
            _output.Write(value);
        }
        else if (_looped.Count >= DepthBytes)
        {
            _overrun = true;
        }
        else
        {
            _ = _looped.TryAdd(value);
        }
    }

    private void SetFifoControl(byte value)
    {
        // Switching the FIFOs on or off clears them too.
        if ((value & FifoClearReceive) != 0 || ((value ^ _fifoControl) & FifoEnable) != 0)
        {
            _input.Drop(_shown ? _received : 0); // the rest was still on its way
            _received = 0;
            _looped.Drop(FifoBytes);
        }

        _fifoControl = (value & FifoEnable) != 0 ? (byte)(value & 0xC9) : (byte)0;
    }

    private void SetModemControl(byte value)
    {
        byte before = ModemLines(_modemControl), after = ModemLines(value);
        const byte Ring = 0x40;
        int changed = (before ^ after) & ~Ring;
        int ringEnded = before & ~after & Ring; // of the ring indicator only the trailing edge counts
        _modemDelta |= (byte)((changed | ringEnded) >> 4);
        _modemControl = value;
    }

    /// <summary>Upper half of the modem status: the outside world, or in loopback our own outputs (DTR, RTS, OUT1, OUT2 as DSR, CTS, RI, DCD).</summary>
    private static byte ModemLines(byte control) => (control & Loopback) == 0
        ? Connected
        : (byte)(((control & 1) << 5) | ((control & 2) << 3) | ((control & 4) << 4) | ((control & 8) << 4));

    /// <summary>The pending condition of the highest priority, as the interrupt id register shows it.</summary>
    private byte Pending()
    {
        if (_overrun && (_interruptEnable & EnableLine) != 0)
        {
            return IdLine;
        }

        int waiting = Waiting;
        if (waiting > 0 && (_interruptEnable & EnableReceived) != 0)
        {
            return waiting >= TriggerBytes ? IdReceived : IdTimeout;
        }

        if (_transmittedPending && (_interruptEnable & EnableTransmitted) != 0)
        {
            return IdTransmitted;
        }

        return _modemDelta != 0 && (_interruptEnable & EnableModem) != 0 ? IdModem : NothingPending;
    }

    private void UpdateLine()
    {
        bool level = Pending() != NothingPending;
        _wasDown |= !level;
        if (_level != level)
        {
            _level = level;
            _interrupts.SetLine(_gsi, level);
        }
    }
}
