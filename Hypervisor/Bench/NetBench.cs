using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Bench;

/// <summary>A network device behind a front-end: negotiated, laid out and started with one <see cref="ILoad"/> for each queue pair.</summary>
internal sealed class NetBench : IDisposable
{
    private readonly VhostUserFrontend _frontend;
    private readonly GuestRam _ram;
    private readonly FrontendQueue[] _queues;

    private NetBench(VhostUserFrontend frontend, GuestRam ram, FrontendQueue[] queues, ILoad[] loads)
    {
        _frontend = frontend;
        _ram = ram;
        _queues = queues;
        Loads = loads;
    }

    /// <summary>One for each queue pair.</summary>
    public IReadOnlyList<ILoad> Loads { get; }

    /// <summary>Prepares the device and starts its queues.</summary>
    /// <exception cref="FrontendException">The device lacks something, or the back-end refused a step.</exception>
    public static NetBench Start(VhostUserFrontend frontend, NetBenchSettings settings)
    {
        ulong features = Negotiate(frontend, settings);
        frontend.SetFeatures(features);

        int size = settings.QueueSize;
        ulong pairBytes = (2 * FrontendQueue.BytesNeeded(size, features)) + NetLoad<SplitDriver>.BytesNeeded(settings.FrameBytes, settings.Mergeable, size);
        GuestRam ram = GuestRam.Create(checked((ulong)settings.QueuePairs * pairBytes), settings.HugePages);
        var queues = new FrontendQueue[settings.QueuePairs * 2];
        var loads = new ILoad[settings.QueuePairs];
        var bench = new NetBench(frontend, ram, queues, loads);
        try
        {
            for (int pair = 0; pair < loads.Length; pair++)
            {
                FrontendQueue receive = queues[pair * 2] = new FrontendQueue(ram, pair * 2, size, features);
                FrontendQueue transmit = queues[(pair * 2) + 1] = new FrontendQueue(ram, (pair * 2) + 1, size, features);
                var options = new NetLoadOptions
                {
                    Pair = pair,
                    Mode = settings.Mode,
                    FrameBytes = settings.FrameBytes,
                    Burst = settings.Burst,
                    Mergeable = settings.Mergeable,
                    Verify = settings.Verify,
                    ReceiveKick = receive.Kick,
                    ReceiveCall = receive.Call,
                    TransmitKick = transmit.Kick,
                    TransmitCall = transmit.Call,
                };
                loads[pair] = settings.Format == RingFormat.Packed
                    ? new NetLoad<PackedDriver>(options, receive.Ring, transmit.Ring, ram)
                    : new NetLoad<SplitDriver>(options, receive.Ring, transmit.Ring, ram);
            }

            FrontendDevice.Start(frontend, ram, queues);
            return bench;
        }
        catch
        {
            bench.Dispose();
            throw;
        }
    }

    /// <summary>Stops the queues in order.</summary>
    /// <exception cref="FrontendException">The back-end refused a step.</exception>
    public void Stop() => FrontendDevice.Stop(_frontend, _queues);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (FrontendQueue? queue in _queues)
        {
            queue?.Dispose();
        }

        _ram.Dispose();
    }

    private static ulong Negotiate(VhostUserFrontend frontend, NetBenchSettings settings)
    {
        ulong offered = frontend.OfferedFeatures;
        if (!DeviceFeatures.LooksLikeNet(offered))
        {
            throw new FrontendException($"the back-end does not serve a network device (features 0x{offered:x}): is it one for 'bench blk'?");
        }

        FeatureChoice features = new(offered);
        features.Need(VirtioFeatures.Version1, "VERSION_1");
        features.Want(settings.Format == RingFormat.Packed, VirtioFeatures.RingPacked, "--ring=packed", "RING_PACKED", "--ring=split");
        features.Want(settings.EventIndex, VirtioFeatures.EventIdx, "--event-idx=on", "EVENT_IDX", "--event-idx=off");
        features.Want(settings.Mergeable, DeviceFeatures.NetMergeable, "--mergeable=on", "MRG_RXBUF", "--mergeable=off");
        features.Want(settings.InOrder, VirtioFeatures.InOrder, "--in-order=on", "IN_ORDER", "--in-order=off");
        if (settings.QueuePairs > 1)
        {
            features.Want(true, DeviceFeatures.NetMultiQueue, $"--queue-pairs={settings.QueuePairs}", "MQ", "--queue-pairs=1");
            features.Take(DeviceFeatures.NetControlQueue); // MQ depends on it; with nobody to start that queue the enabled rings are the ones in use

            // Some count queues here, some pairs: a number below the pairs is too small in either reading.
            if (frontend.QueueCount is ulong count && count < (ulong)settings.QueuePairs)
            {
                throw new FrontendException($"the back-end serves {count} queues or pairs, --queue-pairs={settings.QueuePairs} is too much");
            }
        }

        return features.Chosen;
    }
}
