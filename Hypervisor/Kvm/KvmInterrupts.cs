using Paravane.Hypervisor.Kvm.Abi;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <summary>
/// Interrupts of a machine through KVM's routing table. GSIs 0 to 23 are wires to the IOAPIC (and, up to 15, to the PICs), those above messages.
/// </summary>
/// <remarks>Any thread. One lock, held for the time of a system call: devices come here when a driver sets them up, never for a request.</remarks>
internal sealed unsafe class KvmInterrupts : IInterruptController
{
    /// <summary>Wires; the first GSI of a message.</summary>
    public const int Lines = 24;

    private const int PicLines = 16, PicPins = 8;
    private const uint IoApicChip = 2;

    private readonly Lock _gate = new();
    private readonly FileDescriptor _vm;
    private readonly Message[] _messages;

    /// <summary>For the VM <paramref name="vm"/> whose routing table has room for <paramref name="gsis"/> GSIs.</summary>
    internal KvmInterrupts(FileDescriptor vm, int gsis)
    {
        _vm = vm;
        _messages = new Message[Math.Max(0, gsis - Lines)];
    }

    /// <inheritdoc/>
    public int AllocateGsi()
    {
        lock (_gate)
        {
            int free = Array.FindIndex(_messages, message => !message.IsTaken);
            if (free < 0)
            {
                throw new KvmException($"all {_messages.Length} interrupts for messages are taken");
            }

            _messages[free].IsTaken = true;
            return Lines + free;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">An eventfd is attached to it.</exception>
    public void FreeGsi(int gsi)
    {
        lock (_gate)
        {
            Route(gsi, null);
            MessageOf(gsi) = default;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">The route goes away while an eventfd is attached: its signals would be lost.</exception>
    /// <exception cref="LinuxException">KVM refused.</exception>
    public void SetMessage(int gsi, MsiMessage? message)
    {
        lock (_gate)
        {
            Route(gsi, message);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">The GSI has no route: signals would be lost.</exception>
    /// <exception cref="LinuxException">KVM refused: EBUSY when the eventfd raises an interrupt already.</exception>
    public void Attach(int gsi, EventFd source)
    {
        lock (_gate)
        {
            if (gsi >= Lines && MessageOf(gsi).Target is null)
            {
                throw new InvalidOperationException($"GSI {gsi} has no route");
            }

            // KVM raises the interrupt for what is in the eventfd now but leaves the counter as it is: it would raise another one after the next mask
            // and unmask. So the counter is emptied first and its signal given again. One that comes in between is raised by KVM, and at
            // worst once more later; none is lost.
            bool pending = source.Drain();
            try
            {
                SetIrqFd(gsi, source, 0);
            }
            finally
            {
                if (pending)
                {
                    source.Signal();
                }
            }

            if (gsi >= Lines)
            {
                MessageOf(gsi).Attached++;
            }
        }
    }

    /// <inheritdoc/>
    /// <exception cref="LinuxException">It was not attached.</exception>
    public void Detach(int gsi, EventFd source)
    {
        lock (_gate)
        {
            SetIrqFd(gsi, source, KvmIrqFd.Deassign);
            if (gsi >= Lines)
            {
                MessageOf(gsi).Attached--;
            }
        }
    }

    /// <inheritdoc/>
    /// <exception cref="LinuxException">KVM refused.</exception>
    public void SetLine(int gsi, bool level)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(gsi);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(gsi, Lines);
        var line = new KvmIrqLevel { Gsi = (uint)gsi, Level = level ? 1u : 0 };
        KvmNative.Call(_vm, KvmIoctl.IrqLine, &line, "KVM_IRQ_LINE");
    }

    /// <summary>Takes all wires to their inactive level.</summary>
    internal void LowerLines()
    {
        for (int gsi = 0; gsi < Lines; gsi++)
        {
            SetLine(gsi, false);
        }
    }

    private void Route(int gsi, MsiMessage? target)
    {
        ref Message message = ref MessageOf(gsi);
        if (target is null && message.Attached != 0)
        {
            throw new InvalidOperationException($"GSI {gsi} is attached");
        }

        MsiMessage? previous = message.Target;
        if (previous == target)
        {
            return;
        }

        message.Target = target;
        try
        {
            SendTable();
        }
        catch
        {
            message.Target = previous;
            throw;
        }
    }

    /// <summary>KVM takes the whole table or nothing: without the wires in it, serial port and timers would fall silent.</summary>
    private void SendTable()
    {
        int routed = 0;
        foreach (ref readonly Message message in _messages.AsSpan())
        {
            routed += message.Target is null ? 0 : 1;
        }

        byte[] buffer = new byte[sizeof(KvmListHeader) + ((Lines + PicLines + routed) * sizeof(KvmIrqRoute))];
        fixed (byte* start = buffer)
        {
            var header = (KvmListHeader*)start;
            var routes = (KvmIrqRoute*)(header + 1);
            uint count = 0;
            for (uint gsi = 0; gsi < Lines; gsi++)
            {
                routes[count++] = new KvmIrqRoute { Gsi = gsi, Type = KvmIrqRoute.IrqchipType, Chip = IoApicChip, Pin = gsi };
                if (gsi < PicLines)
                {
                    routes[count++] = new KvmIrqRoute { Gsi = gsi, Type = KvmIrqRoute.IrqchipType, Chip = gsi / PicPins, Pin = gsi % PicPins };
                }
            }

            for (int i = 0; i < _messages.Length; i++)
            {
                if (_messages[i].Target is { } target)
                {
                    routes[count++] = new KvmIrqRoute
                    {
                        Gsi = (uint)(Lines + i),
                        Type = KvmIrqRoute.MsiType,
                        AddressLow = target.AddressLow,
                        AddressHigh = target.AddressHigh,
                        Data = target.Data,
                    };
                }
            }

            header->Count = count;
            KvmNative.Call(_vm, KvmIoctl.SetGsiRouting, start, "KVM_SET_GSI_ROUTING");
        }
    }

    private void SetIrqFd(int gsi, EventFd source, uint flags)
    {
        var request = new KvmIrqFd { Fd = source.Number, Gsi = (uint)gsi, Flags = flags };
        KvmNative.Call(_vm, KvmIoctl.IrqFd, &request, "KVM_IRQFD");
    }

    private ref Message MessageOf(int gsi)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(gsi, Lines);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(gsi - Lines, _messages.Length, nameof(gsi));
        return ref _messages[gsi - Lines];
    }

    private struct Message
    {
        /// <summary>Given out.</summary>
        public bool IsTaken;

        /// <summary>Number of eventfds that raise it.</summary>
        public int Attached;

        /// <summary>Where it goes.</summary>
        public MsiMessage? Target;
    }
}
