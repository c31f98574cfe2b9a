using System.Globalization;

namespace Paravane.Peers;

/// <summary>testpmd's virtio-user port: DPDK's virtio driver as a vhost-user front-end.</summary>
public sealed record VirtioUserPort(string SocketPath)
{
    /// <summary>Number of queue pairs.</summary>
    public int QueuePairs { get; init; } = 1;

    /// <summary>Descriptors of each ring.</summary>
    public int QueueSize { get; init; } = 1024;

    /// <summary>Packed rings in place of split ones.</summary>
    public bool Packed { get; init; }

    /// <summary>VIRTIO_NET_F_MRG_RXBUF.</summary>
    public bool Mergeable { get; init; }

    /// <summary>VIRTIO_F_IN_ORDER.</summary>
    public bool InOrder { get; init; }

    /// <summary>The argument of <c>--vdev</c>.</summary>
    public string ToDevice() => string.Create(CultureInfo.InvariantCulture,
        $"net_virtio_user0,path={SocketPath},queues={QueuePairs},queue_size={QueueSize},packed_vq={Bit(Packed)},mrg_rxbuf={Bit(Mergeable)},in_order={Bit(InOrder)}");

    private static int Bit(bool value) => value ? 1 : 0;
}
