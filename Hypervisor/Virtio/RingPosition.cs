using System.Runtime.InteropServices;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Virtio;

/// <summary>Where a ring goes on whose back-end died without saying how far it was.</summary>
internal static class RingPosition
{
    /// <summary>Offset of <c>idx</c> in the available and in the used ring (virtio 1.2 §2.7.6, §2.7.8).</summary>
    private const ulong IndexOffset = 2;

    /// <summary>The used index of a split ring, in which everything up to it is known to be done.</summary>
    /// <param name="queue">A ring that was checked.</param>
    /// <param name="regions">Guest memory.</param>
    /// <param name="completesInOrder">False: only a ring with nothing under way has a position, since what is done may lie between what is not.</param>
    /// <returns>Null when nobody can know, which is so for every packed ring: it keeps no index in memory.</returns>
    /// <exception cref="GuestMemoryException">The ring cannot be mapped.</exception>
    public static QueueState? Find(QueueConfig queue, IReadOnlyList<GuestRamRegion> regions, bool completesInOrder)
    {
        if (queue.Has(VirtioFeatures.RingPacked))
        {
            return null;
        }

        ushort used = ReadIndex(queue.DeviceArea, regions);
        return completesInOrder || used == ReadIndex(queue.DriverArea, regions) ? QueueState.Split(used) : null;
    }

    /// <summary>Maps the one page for a moment: rings move with each guest, and this happens only after a back-end has died.</summary>
    private static ushort ReadIndex(GuestAddress ring, IReadOnlyList<GuestRamRegion> regions)
    {
        var address = new GuestAddress(ring.Value + IndexOffset);
        foreach (GuestRamRegion region in regions)
        {
            ulong offset = address.Value - region.Guest.Value;
            if (offset < region.SizeBytes)
            {
                GuestMemory table = GuestMemory.Of([GuestRegion.Map(address, region.User, sizeof(ushort), region.File, region.FileOffset + offset)]);
                Span<byte> index = stackalloc byte[sizeof(ushort)];
                _ = table.TryRead(address, index);
                table.Release();
                return MemoryMarshal.Read<ushort>(index);
            }
        }

        throw new GuestMemoryException($"ring at {ring} is not in guest memory");
    }
}
