using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net;

/// <summary>What a driver chooses by commands on the control queue, and how it takes effect.</summary>
/// <remarks>
/// <para>Worker of the control queue; session while that queue does not run.</para>
/// <para>As long as nobody runs the control queue all pairs are on: front-ends that serve it themselves start and enable the rings of the pairs in use.</para>
/// <para>
/// What was chosen goes into the record of requests in flight before the driver hears that it was done, so that a process that takes this one's place goes on
/// with it. Nothing is read back there but once, when the queue starts.
/// </para>
/// </remarks>
/// <param name="pairs">All pairs of the device.</param>
/// <param name="config">Has the address.</param>
/// <param name="configChanged">Called after a driver's choice has changed <paramref name="config"/>. Must not wait.</param>
internal sealed class NetControl(QueuePair[] pairs, NetConfigSpace config, Action configChanged)
{
    private DriverChoice _choice;
    private InflightRecord? _record; // while the queue runs
    private RingFormat _format;

    private int ActivePairs => Math.Max(1, _choice.Pairs);

    /// <summary>The control queue started: goes on with what the record says that the driver chose, where it says something that can be.</summary>
    public void Begin(QueueConfig queue)
    {
        _record = queue.Inflight;
        _format = queue.Format;
        var found = new DriverChoice(_record?.ReadWord(_format) ?? 0);
        if (found.HasPairs(pairs.Length) && Has(queue.Features, NetFeatures.Mq))
        {
            _choice = _choice.WithPairs((ushort)found.Pairs);
        }

        if (found.HasMac && Has(queue.Features, NetFeatures.CtrlMacAddr))
        {
            Span<byte> mac = stackalloc byte[MacAddress.Bytes];
            found.CopyMac(mac);
            SetAddress(mac);
        }

        SwitchTo(ActivePairs);
        Keep(_choice); // a queue that was only paused may come back with another record
    }

    /// <summary>The control queue stopped. What the driver chose is kept: the queue may only be paused.</summary>
    public void End()
    {
        _record = null;
        SwitchTo(pairs.Length);
    }

    /// <summary>Forgets what a driver chose. Session.</summary>
    public void Reset()
    {
        _choice = default;
        config.Reset();
    }

    /// <summary>Carries a command out, completely, before it returns.</summary>
    /// <param name="command">What the driver wrote for the device; it may change meanwhile, so each field is read once.</param>
    /// <param name="features">Negotiated ones.</param>
    /// <returns>False when the command is unknown, not negotiated or malformed; nothing changed then (threats N5).</returns>
    public bool TryExecute(BufferList command, ulong features) =>
        command.TryRead(0, out ControlHeader header) && header.Class switch
        {
            ControlClass.Receive => Has(features, NetFeatures.CtrlRx) && header.Command <= 1 && IsSwitch(command),
            ControlClass.Mac when header.Command == 0 => Has(features, NetFeatures.CtrlRx) && IsAddressTable(command),
            ControlClass.Mac when header.Command == 1 => Has(features, NetFeatures.CtrlMacAddr) && TrySetAddress(command),
            ControlClass.MultiQueue when header.Command == 0 => Has(features, NetFeatures.Mq) && TrySetPairs(command),
            _ => false,
        };

    private static bool Has(ulong features, ulong feature) => (features & (feature | NetFeatures.CtrlVq)) == (feature | NetFeatures.CtrlVq);

    /// <summary>PROMISC and ALLMULTI: 0 or 1. Every frame passes in any case, so that the driver gets all it asks for (virtio 1.2 §5.1.6.5.1).</summary>
    private static bool IsSwitch(BufferList command) =>
        command.LengthBytes == ControlHeader.SizeBytes + sizeof(byte) && command.TryRead(ControlHeader.SizeBytes, out byte value) && value <= 1;

    /// <summary>
    /// TABLE_SET: a list of addresses, then one of group addresses, each behind their number. A device may take all frames rather than filter by them
    /// (virtio 1.2 §5.1.6.5.2), and this one does.
    /// </summary>
    private static bool IsAddressTable(BufferList command)
    {
        ulong end = ControlHeader.SizeBytes;
        for (int list = 0; list < 2; list++)
        {
            if (end > command.LengthBytes || !command.TryRead((uint)end, out uint entries))
            {
                return false;
            }

            end += sizeof(uint) + ((ulong)entries * MacAddress.Bytes); // 2^35 at most
        }

        return end == command.LengthBytes;
    }

    private bool TrySetAddress(BufferList command)
    {
        Span<byte> address = stackalloc byte[MacAddress.Bytes];
        if (command.LengthBytes != (uint)(ControlHeader.SizeBytes + address.Length)
            || command.CopyTo(ControlHeader.SizeBytes, address) != address.Length || !MacAddress.IsOfOne(address))
        {
            return false;
        }

        SetAddress(address);
        return true;
    }

    private bool TrySetPairs(BufferList command)
    {
        if (command.LengthBytes != ControlHeader.SizeBytes + sizeof(ushort) || !command.TryRead(ControlHeader.SizeBytes, out ushort count)
            || count == 0 || count > pairs.Length)
        {
            return false;
        }

        SwitchTo(count);
        Keep(_choice.WithPairs(count));
        return true;
    }

    private void SetAddress(ReadOnlySpan<byte> address)
    {
        bool differs = config.TrySetMac(address);
        Keep(_choice.WithMac(address));
        if (differs)
        {
            configChanged();
        }
    }

    private void Keep(DriverChoice choice)
    {
        _choice = choice;
        _record?.WriteWord(_format, choice.Word);
    }

    private void SwitchTo(int count)
    {
        for (int i = 1; i < pairs.Length; i++)
        {
            pairs[i].Switch(i < count);
        }
    }
}
