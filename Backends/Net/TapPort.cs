using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Split;

namespace Paravane.Backends.Net;

/// <summary><c>--net=tap:NAME</c>: the wire leads to an interface of the host, one queue of it for each pair. The kernel serves all offloads.</summary>
internal sealed class TapPort : INetPort
{
    private readonly Tap _tap;

    private TapPort(Tap tap) => _tap = tap;

    /// <inheritdoc/>
    public ulong Features => NetFeatures.Csum | NetFeatures.HostTso4 | NetFeatures.HostTso6 | NetFeatures.HostEcn
        | NetFeatures.GuestCsum | NetFeatures.GuestTso4 | NetFeatures.GuestTso6 | NetFeatures.GuestEcn
        | (_tap.HasUdpSegmentation ? NetFeatures.HostUso | NetFeatures.GuestUso4 | NetFeatures.GuestUso6 : 0);

    /// <summary>The interface's MTU in bytes.</summary>
    public int MtuBytes => Math.Min(_tap.MtuBytes, FrameLimits.MaxMtu);

    /// <summary>Opens the interface.</summary>
    /// <exception cref="StartException">It cannot be had; the message says what to do.</exception>
    public static TapPort Open(string name, int queuePairs)
    {
        try
        {
            var tap = Tap.Open(name, queuePairs);

            // Until a driver reads a queue the kernel is not to choose it: what it took would be stale when somebody comes.
            foreach (TapQueue queue in tap.Queues)
            {
                queue.TryAttach(false);
            }

            return new TapPort(tap);
        }
        catch (LinuxException failure)
        {
            throw new StartException($"tap '{name}': {Advice(failure, name, queuePairs)}");
        }
    }

    /// <inheritdoc/>
    public bool TrySetMtu(int mtuBytes) => mtuBytes == _tap.MtuBytes || _tap.TrySetMtu(mtuBytes);

    /// <inheritdoc/>
    public void Announce(ReadOnlySpan<byte> frame)
    {
        // Any attached queue will do. Best effort: switches learn from the guest's next frame too.
        for (int i = 0; i < _tap.Queues.Count && !_tap.Queues[i].TryAnnounce(frame); i++)
        {
        }
    }

    /// <inheritdoc/>
    public IQueueLoop StartReceive(QueueConfig config, GuestMemory memory, QueuePair pair)
    {
        TapQueue queue = _tap.Queues[pair.Index];
        return config.Format == RingFormat.Packed
            ? new TapReceive<PackedRing>(config, memory, pair, queue)
            : new TapReceive<SplitRing>(config, memory, pair, queue);
    }

    /// <inheritdoc/>
    public IQueueLoop StartTransmit(QueueConfig config, GuestMemory memory, QueuePair pair)
    {
        TapQueue queue = _tap.Queues[pair.Index];
        return config.Format == RingFormat.Packed
            ? new TapTransmit<PackedRing>(config, memory, pair, queue)
            : new TapTransmit<SplitRing>(config, memory, pair, queue);
    }

    /// <inheritdoc/>
    public void Dispose() => _tap.Dispose();

    /// <summary>What the kernel may leave unfinished in frames for this driver.</summary>
    internal static TapOffloads OffloadsOf(ulong features)
    {
        TapOffloads offloads = TapOffloads.None;
        offloads |= (features & NetFeatures.GuestCsum) != 0 ? TapOffloads.Checksum : TapOffloads.None;
        offloads |= (features & NetFeatures.GuestTso4) != 0 ? TapOffloads.TcpV4 : TapOffloads.None;
        offloads |= (features & NetFeatures.GuestTso6) != 0 ? TapOffloads.TcpV6 : TapOffloads.None;
        offloads |= (features & NetFeatures.GuestEcn) != 0 ? TapOffloads.Ecn : TapOffloads.None;

        // The kernel knows both only together; a driver with one of them gets finished datagrams.
        const ulong Udp = NetFeatures.GuestUso4 | NetFeatures.GuestUso6;
        return (features & Udp) == Udp ? offloads | TapOffloads.Udp : offloads;
    }

    private static string Advice(LinuxException failure, string name, int queuePairs) => failure.Errno switch
    {
        Errno.ENOENT or Errno.ENODEV or Errno.ENXIO => "/dev/net/tun is not there: load the driver with 'modprobe tun'",
        Errno.EPERM or Errno.EACCES =>
            $"not permitted: let an administrator run 'ip tuntap add {name} mode tap user $USER{(queuePairs > 1 ? " multi_queue" : string.Empty)}', or give this process CAP_NET_ADMIN",
        Errno.EBUSY => "in use by another process: stop that one, or choose another name",
        Errno.EINVAL when queuePairs > 1 =>
            $"exists, but not as a TAP with several queues: delete it or use 'ip tuntap add {name} mode tap multi_queue', or ask for --queue-pairs=1",
        Errno.EINVAL => "exists, but is not a TAP: choose another name",
        Errno.E2BIG => $"has fewer than {queuePairs} queues left: ask for fewer with --queue-pairs",
        _ => failure.Message,
    };
}
