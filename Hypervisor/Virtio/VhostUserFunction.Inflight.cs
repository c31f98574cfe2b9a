using Paravane.Hypervisor.Frontend;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Virtio;

/// <content>The record of requests under way (vhost-user: «Inflight I/O tracking»), which outlives back-ends. Device thread.</content>
internal sealed partial class VhostUserFunction
{
    /// <summary>Kept from the driver's start to its reset; null: none is kept, or no back-end has given one yet.</summary>
    private FrontendInflight? _inflight;

    /// <summary>
    /// Hands the record to the present back-end, a fresh one at the first start of a driver's session. With a record the back-end knows best where rings go on,
    /// and what was under way it does once more.
    /// </summary>
    private void TellInflight()
    {
        VhostUserFrontend frontend = _frontend!;
        if (!frontend.Has(ProtocolFeatures.InflightShmFd))
        {
            ForgetInflight(); // its positions grow old
            return;
        }

        bool isFresh = _inflight is null;
        _inflight ??= frontend.GetInflight(_shape.RingCount, MaxQueueSize);
        if (_inflight is null)
        {
            return;
        }

        frontend.SetInflight(_inflight);
        foreach (VhostUserQueue queue in _queues.Values)
        {
            // A packed ring keeps no position in memory: where its record began, since a back-end that has not begun it starts there. Where the
            // driver's session began is where the record began, unless the ring was paused in between, and then its position is known.
            if (queue.Position is null && !isFresh)
            {
                queue.Position = queue.Config.Format == RingFormat.Packed ? queue.Begun : RingPosition.Find(queue.Config, _regions, completesInOrder: true);
            }
        }
    }

    private void ForgetInflight()
    {
        _inflight?.Dispose();
        _inflight = null;
    }

    /// <summary>A ring that was reset starts afresh, and so must its part of the record: all zeroes.</summary>
    private unsafe void ForgetInflightOf(VhostUserQueue queue)
    {
        if (_inflight is not { Area: { } area } record)
        {
            return;
        }

        // The parts lie as the specification has them, whoever made the record; what may come behind them is no queue's. Written with a system
        // call: the file is the back-end's, and to map it would be to trust it not to cut it short.
        ulong partBytes = InflightRecord.PartBytes(queue.Config.Format, area.QueueSize);
        if ((ulong)area.QueueCount * partBytes > area.SizeBytes)
        {
            Break($"the back-end's record of requests under way has 0x{area.SizeBytes:x} bytes, {area.QueueCount} queues of 0x{area.QueueSize:x} have more");
            return;
        }

        byte[] zeroes = new byte[4096];
        fixed (byte* pointer = zeroes)
        {
            for (ulong done = 0; done < partBytes;)
            {
                ulong step = Math.Min(partBytes - done, (ulong)zeroes.Length);
                long written = LibC.pwrite(record.File.Number, pointer, (size_t)step, (long)(area.OffsetBytes + ((ulong)queue.Ring * partBytes) + done));
                if (written <= 0)
                {
                    Break($"the record of requests under way cannot be written: {Errno.TextOf(written < 0 ? Errno.Last : Errno.EIO)}");
                    return;
                }

                done += (ulong)written;
            }
        }
    }
}
