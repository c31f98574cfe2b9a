using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Tests;

/// <summary>A queue over a table that the test made, with its ring at <see cref="TwoRegions.Rings"/>.</summary>
internal sealed class SharedRig<TRing> : IDisposable
    where TRing : struct, IRing<TRing>
{
    public SharedRig(GuestMemory table, int size)
    {
        ulong features = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | (typeof(TRing) == typeof(PackedRing) ? VirtioFeatures.RingPacked : 0);
        Config = DriverRingConfig.Lay(table, new GuestAddress(TwoRegions.Rings), size, features).ToQueueConfig();
        Queue = new Virtqueue<TRing>(Config, table);
        Assert.True(Queue.IsAttached);
    }

    public QueueConfig Config { get; }

    public Virtqueue<TRing> Queue { get; }

    public void Dispose() => Queue.Dispose();
}

/// <summary>Offers single descriptors through a table of any shape.</summary>
internal sealed class RawDriverOver(GuestMemory table, QueueConfig config)
{
    private ushort _next;

    public void Table(ulong at, ReadOnlySpan<(ulong Address, uint LengthBytes, VirtqDescFlags Flags)> entries)
    {
        for (int i = 0; i < entries.Length; i++)
        {
            (ulong address, uint lengthBytes, VirtqDescFlags flags) = entries[i];
            bool last = i == entries.Length - 1;
            VirtqDesc split = new(address, lengthBytes, flags | (last ? 0 : VirtqDescFlags.Next), last ? (ushort)0 : (ushort)(i + 1));
            PackedDesc packed = new(address, lengthBytes, 0, flags);
            Assert.True(table.TryWrite(
                new GuestAddress(at + ((ulong)i * 16)),
                config.Format == RingFormat.Packed ? MemoryMarshal.AsBytes(new ReadOnlySpan<PackedDesc>(in packed)) : MemoryMarshal.AsBytes(new ReadOnlySpan<VirtqDesc>(in split))));
        }
    }

    public void Offer(ulong address, uint lengthBytes, VirtqDescFlags flags)
    {
        ushort slot = _next++;
        var at = new GuestAddress(config.DescriptorArea.Value + (slot * 16UL));
        if (config.Format == RingFormat.Packed)
        {
            Write(at, new PackedDesc(address, lengthBytes, slot, flags | VirtqDescFlags.Avail));
            return;
        }

        Write(at, new VirtqDesc(address, lengthBytes, flags, 0));
        Write(new GuestAddress(config.DriverArea.Value + 4 + (slot * 2UL)), slot);
        Write(new GuestAddress(config.DriverArea.Value + 2), _next);
    }

    private void Write<T>(GuestAddress at, T value)
        where T : unmanaged => Assert.True(table.TryWrite(at, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value))));
}
