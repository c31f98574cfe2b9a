using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Paravane.Hypervisor.Kvm;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Pci;

/// <summary>MSI-X table and pending bits of one function (PCI 3.0 §6.8.2), each vector an eventfd that injects inside the kernel while it is unmasked.</summary>
/// <remarks>
/// <para>
/// Guarded by the lock of the function. A vector is attached while MSI-X is enabled and neither the function nor the vector is masked. Route
/// before attachment, detachment before the route goes. While it is not attached an event stays in the eventfd: that is the pending bit.
/// </para>
/// <para>A vector that the guest leaves masked costs nothing: no eventfd, no GSI, no system call.</para>
/// </remarks>
internal sealed class MsiX
{
    /// <summary>Most vectors of a function.</summary>
    public const int MaxVectors = 2048;

    /// <summary>Size of a table entry.</summary>
    public const int EntryBytes = 16;

    /// <summary>Message control: enabled.</summary>
    public const ushort ControlEnable = 1 << 15;

    /// <summary>Message control: all vectors masked.</summary>
    public const ushort ControlFunctionMask = 1 << 14;

    private const int PollBurst = 64;
    private const int ControlField = 12;

    private readonly IInterruptController _interrupts;
    private readonly MsiXVector[] _vectors;
    private bool _functionMask;

    /// <summary>Makes a disabled table with all vectors masked.</summary>
    public MsiX(int vectors, IInterruptController interrupts)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(vectors);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(vectors, MaxVectors);
        _interrupts = interrupts;
        _vectors = new MsiXVector[vectors];
        Clear();
    }

    /// <summary>Number of vectors.</summary>
    public int Count => _vectors.Length;

    /// <summary>True while the guest wants messages in place of a wired interrupt.</summary>
    public bool IsEnabled { get; private set; }

    /// <summary>Unmaskings that the kernel refused (no GSI, no descriptor left); their events stay pending. For counters; any thread.</summary>
    public long Refusals { get; private set; }

    /// <summary>True while signals of <paramref name="vector"/> reach the guest without delay.</summary>
    public bool IsAttached(int vector) => _vectors[vector].IsAttached;

    /// <summary>The eventfd of <paramref name="vector"/>; the same until <see cref="Close"/>.</summary>
    /// <returns>False when no descriptor is left.</returns>
    public bool TryGetSource(int vector, [NotNullWhen(true)] out EventFd? source)
    {
        source = _vectors[vector].Source;
        if (source is null)
        {
            try
            {
                source = _vectors[vector].Source = new EventFd();
            }
            catch (LinuxException)
            {
                Refusals++;
                return false;
            }
        }

        return true;
    }

    /// <summary>Takes the message control word.</summary>
    public void SetControl(ushort control)
    {
        bool enabled = (control & ControlEnable) != 0, functionMask = (control & ControlFunctionMask) != 0;
        if (enabled == IsEnabled && functionMask == _functionMask)
        {
            return;
        }

        IsEnabled = enabled;
        _functionMask = functionMask;
        for (int i = 0; i < _vectors.Length; i++)
        {
            Apply(ref _vectors[i]);
            if (!enabled)
            {
                Release(ref _vectors[i]);
            }
        }
    }

    /// <summary>Reads the table; behind its end are zeros.</summary>
    public void ReadTable(ulong offset, Span<byte> data)
    {
        Span<byte> entry = stackalloc byte[EntryBytes];
        for (int i = 0; i < data.Length; i++)
        {
            ulong at = offset + (uint)i;
            int field = (int)(at % EntryBytes);
            if (i == 0 || field == 0)
            {
                Describe(at / EntryBytes, entry);
            }

            data[i] = entry[field];
        }
    }

    /// <summary>Writes the table: double words and aligned quad words, as the specification wants; anything else has no effect.</summary>
    public void WriteTable(ulong offset, ReadOnlySpan<byte> data)
    {
        ulong index = offset / EntryBytes;
        if (data.Length is not (sizeof(uint) or sizeof(ulong)) || offset % (uint)data.Length != 0 || index >= (uint)_vectors.Length)
        {
            return;
        }

        ref MsiXVector vector = ref _vectors[index];
        for (int at = 0; at < data.Length; at += sizeof(uint))
        {
            uint value = BinaryPrimitives.ReadUInt32LittleEndian(data[at..]);
            switch ((int)(offset % EntryBytes) + at)
            {
                case 0:
                    vector.Message = vector.Message with { AddressLow = value & ~3u };
                    break;
                case 4:
                    vector.Message = vector.Message with { AddressHigh = value };
                    break;
                case 8:
                    vector.Message = vector.Message with { Data = value };
                    break;
                default:
                    vector.IsMasked = (value & 1) != 0;
                    break;
            }
        }

        Apply(ref vector);
    }

    /// <summary>Reads pending bits; behind their end are zeros.</summary>
    public void ReadPending(ulong offset, Span<byte> data)
    {
        data.Clear();
        if (offset < (ulong)(_vectors.Length + 7) / 8)
        {
            int first = (int)offset * 8;
            Poll(first, Math.Min(Math.Min(data.Length * 8, PollBurst), _vectors.Length - first), data);
        }
    }

    /// <summary>Back to the state after power-on: disabled, all masked, nothing pending, no GSI held.</summary>
    public void Reset()
    {
        SetControl(0);
        foreach (ref MsiXVector vector in _vectors.AsSpan())
        {
            vector.Source?.Drain();
        }

        Clear();
    }

    /// <summary>Closes the eventfds, after <see cref="Reset"/> and when nobody signals any more.</summary>
    public void Close()
    {
        foreach (ref MsiXVector vector in _vectors.AsSpan())
        {
            vector.Source?.Dispose();
            vector.Source = null;
        }
    }

    private void Clear()
    {
        foreach (ref MsiXVector vector in _vectors.AsSpan())
        {
            vector.Message = default;
            vector.IsMasked = true;
            vector.Gsi = -1;
        }
    }

    private void Describe(ulong index, Span<byte> entry)
    {
        entry.Clear();
        if (index < (uint)_vectors.Length)
        {
            ref MsiXVector vector = ref _vectors[index];
            BinaryPrimitives.WriteUInt32LittleEndian(entry, vector.Message.AddressLow);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], vector.Message.AddressHigh);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], vector.Message.Data);
            entry[ControlField] = vector.IsMasked ? (byte)1 : (byte)0;
        }
    }

    /// <summary>Brings what the kernel does into line with what the guest wants of <paramref name="vector"/>.</summary>
    private void Apply(ref MsiXVector vector)
    {
        bool wanted = IsEnabled && !_functionMask && !vector.IsMasked;
        try
        {
            if (wanted && !vector.IsAttached)
            {
                Attach(ref vector);
            }
            else if (wanted)
            {
                Route(ref vector); // a change while unmasked: undefined for the guest, but never a message of before
            }
            else if (vector.IsAttached)
            {
                _interrupts.Detach(vector.Gsi, vector.Source!);
                vector.IsAttached = false;
            }
        }
        catch (IOException)
        {
            Refusals++; // limits of the host: the event stays pending, and the next unmasking tries again
        }
    }

    private void Attach(ref MsiXVector vector)
    {
        EventFd source = vector.Source ??= new EventFd();
        if (vector.Gsi < 0)
        {
            vector.Gsi = _interrupts.AllocateGsi();
        }

        Route(ref vector);
        _interrupts.Attach(vector.Gsi, source); // what is pending is raised by this
        vector.IsAttached = true;
    }

    private void Route(ref MsiXVector vector)
    {
        if (vector.Routed != vector.Message)
        {
            _interrupts.SetMessage(vector.Gsi, vector.Message);
            vector.Routed = vector.Message;
        }
    }

    private void Release(ref MsiXVector vector)
    {
        if (vector.Gsi < 0 || vector.IsAttached)
        {
            return;
        }

        int gsi = vector.Gsi;
        bool isRouted = vector.Routed is not null;
        vector.Gsi = -1;
        vector.Routed = null;
        try
        {
            if (isRouted)
            {
                _interrupts.SetMessage(gsi, null);
            }

            _interrupts.FreeGsi(gsi);
        }
        catch (IOException)
        {
            Refusals++; // the GSI stays taken: a route to which nothing is attached does no harm
        }
    }

    private unsafe void Poll(int first, int count, Span<byte> bits)
    {
        pollfd* entries = stackalloc pollfd[PollBurst];
        int watched = 0;
        for (int i = 0; i < count; i++)
        {
            ref MsiXVector vector = ref _vectors[first + i];
            bool canBePending = vector.Source is not null && !vector.IsAttached;
            entries[i] = new pollfd { fd = canBePending ? vector.Source!.Number : -1, events = (short)LibC.POLLIN };
            watched += canBePending ? 1 : 0;
        }

        // SAFETY: count is PollBurst at most, and the entries lie on this stack.
        if (watched == 0 || Polling.Wait(entries, (nuint)count, 0) <= 0)
        {
            return;
        }

        for (int i = 0; i < count; i++)
        {
            if ((entries[i].revents & LibC.POLLIN) != 0)
            {
                bits[i / 8] |= (byte)(1 << (i % 8));
            }
        }
    }
}
