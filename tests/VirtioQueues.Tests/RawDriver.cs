using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Tests;

/// <summary>One descriptor as a hostile driver writes it. In lists NEXT and the link are added by <see cref="RawDriver.Add"/>.</summary>
internal readonly record struct RawDesc(GuestAddress Address, uint LengthBytes, VirtqDescFlags Flags = 0);

/// <summary>Writes ring memory directly, legal or not, in either format.</summary>
internal sealed unsafe class RawDriver(TestMemory memory, QueueConfig config)
{
    private readonly bool _packed = config.Format == RingFormat.Packed;
    private int _slot;
    private bool _wrap = true;

    /// <summary>Split: the index that <see cref="Publish"/> shows.</summary>
    public ushort Index { get; set; }

    /// <summary>Packed: id of the next list. Split: not used.</summary>
    public ushort NextId { get; set; }

    /// <summary>Split: the avail ring, flags and idx in front.</summary>
    public ushort* Avail => (ushort*)memory[config.DriverArea];

    /// <summary>Raw table of the ring.</summary>
    public VirtqDesc* Split => (VirtqDesc*)memory[config.DescriptorArea];

    /// <summary>Raw ring of descriptors.</summary>
    public PackedDesc* Packed => (PackedDesc*)memory[config.DescriptorArea];

    /// <summary>Writes a list into the next slots and offers it; split lists become visible by <see cref="Publish"/>.</summary>
    public void Add(params ReadOnlySpan<RawDesc> list)
    {
        int first = _slot;
        ushort id = NextId++;
        PackedDesc head = default;
        for (int i = 0; i < list.Length; i++)
        {
            VirtqDescFlags flags = list[i].Flags | (i < list.Length - 1 ? VirtqDescFlags.Next : 0);
            if (_packed)
            {
                var desc = new PackedDesc(list[i].Address.Value, list[i].LengthBytes, id, flags | (_wrap ? VirtqDescFlags.Avail : VirtqDescFlags.Used));
                if (i == 0)
                {
                    head = desc;
                }
                else
                {
                    Packed[_slot] = desc;
                }
            }
            else
            {
                Split[_slot] = new VirtqDesc(list[i].Address.Value, list[i].LengthBytes, flags, (ushort)((_slot + 1) % config.Size));
            }

            if (++_slot == config.Size)
            {
                _slot = 0;
                _wrap = !_wrap;
            }
        }

        if (_packed)
        {
            Packed[first] = head;
        }
        else
        {
            OfferHead((ushort)first);
        }
    }

    /// <summary>Split: appends any number to the avail ring.</summary>
    public void OfferHead(ushort head) => Avail[2 + (Index++ % config.Size)] = head;

    /// <summary>Split: shows <see cref="Index"/>.</summary>
    public void Publish()
    {
        if (!_packed)
        {
            Volatile.Write(ref Avail[1], Index);
        }
    }

    /// <summary>Writes an indirect table in the ring's format, at any alignment.</summary>
    public GuestAddress Table(GuestAddress at, params ReadOnlySpan<RawDesc> entries)
    {
        Span<byte> bytes = stackalloc byte[16];
        for (int i = 0; i < entries.Length; i++)
        {
            VirtqDescFlags next = i < entries.Length - 1 ? VirtqDescFlags.Next : 0;
            if (_packed)
            {
                MemoryMarshal.Write(bytes, new PackedDesc(entries[i].Address.Value, entries[i].LengthBytes, 0, entries[i].Flags));
            }
            else
            {
                MemoryMarshal.Write(
                    bytes, new VirtqDesc(entries[i].Address.Value, entries[i].LengthBytes, entries[i].Flags | next, next == 0 ? (ushort)0 : (ushort)(i + 1)));
            }

            Assert.True(memory.Table.TryWrite(new GuestAddress(at.Value + ((ulong)i * 16)), bytes));
        }

        return at;
    }
}
