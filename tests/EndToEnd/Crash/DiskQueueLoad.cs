using System.Runtime.InteropServices;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;

namespace Paravane.EndToEnd.Crash;

/// <summary>Reads and writes blocks at random, knows what each must hold, and never gives a request up.</summary>
internal sealed class DiskQueueLoad<TDriver>
    where TDriver : struct, IDriverRing<TDriver>
{
    public const int BlockBytes = 4096, Blocks = 512, Depth = 16;

    private const int SlotBytes = 8192, StatusOffset = 16, DataOffset = 4096;

    private readonly FrontendQueue _queue;
    private readonly GuestArea _slots;
    private readonly Random _random;
    private readonly uint[] _generations = new uint[Blocks];
    private readonly bool[] _busy = new bool[Blocks];
    private readonly (int Block, bool IsWrite)[] _requests = new (int, bool)[Depth];
    private readonly Stack<ushort> _free = [];
    private readonly bool _indirect;
    private TDriver _driver;

    public DiskQueueLoad(FrontendQueue queue, GuestRam ram, bool indirect)
    {
        _queue = queue;
        _indirect = indirect;
        _slots = ram.Allocate(Depth * SlotBytes, 4096);
        _random = new Random(queue.Index + 77);
        _driver = TDriver.Open(queue.Ring);
        for (ushort i = 0; i < Depth; i++)
        {
            _free.Push(i);
        }
    }

    public int Completed { get; private set; }

    public int Outstanding => Depth - _free.Count;

    private long FirstBlock => (long)_queue.Index * Blocks;

    /// <summary>Takes what came back, looks at every byte of it, and keeps the queue full.</summary>
    public void Turn(bool submits)
    {
        while (_driver.TryGetUsed(out ushort slot, out _))
        {
            Finish(slot);
        }

        Assert.Equal(DriverFault.None, _driver.Fault);
        while (submits && _free.Count > 0)
        {
            Submit(_free.Pop());
        }

        if (_driver.Publish())
        {
            _queue.Kick.Signal();
        }
    }

    /// <summary>Compares the image with what was written last.</summary>
    public void AssertImage(Disk.DiskImage image)
    {
        byte[] expected = new byte[BlockBytes];
        for (int block = 0; block < Blocks; block++)
        {
            Fill(expected, block, _generations[block]);
            Assert.True(image.Read((FirstBlock + block) * BlockBytes, BlockBytes).AsSpan().SequenceEqual(expected), $"queue {_queue.Index}: block {block} is not as it was written last");
        }
    }

    private void Submit(ushort slot)
    {
        int block;
        do
        {
            block = _random.Next(Blocks);
        }
        while (_busy[block]);

        bool isWrite = _random.Next(2) == 0;
        _busy[block] = true;
        _requests[slot] = (block, isWrite);
        GuestArea area = _slots.Slice((uint)(slot * SlotBytes), SlotBytes);
        Span<byte> bytes = area.AsSpan();
        BitConverter.TryWriteBytes(bytes, isWrite ? 1UL : 0UL);
        BitConverter.TryWriteBytes(bytes[8..], (ulong)(FirstBlock + block) * (BlockBytes / 512));
        bytes[StatusOffset] = 0xff;
        if (isWrite)
        {
            Fill(bytes.Slice(DataOffset, BlockBytes), block, _generations[block] + 1);
        }
        else
        {
            bytes.Slice(DataOffset, BlockBytes).Fill(0xa5);
        }

        ulong at = area.Guest.Value;
        DriverBuffer[] chain = [new(new GuestAddress(at), 16), new(new GuestAddress(at + DataOffset), BlockBytes), new(new GuestAddress(at + StatusOffset), 1)];
        Assert.True(_driver.TryAdd(chain, isWrite ? 2 : 1, slot, _indirect));
    }

    private void Finish(ushort slot)
    {
        (int block, bool isWrite) = _requests[slot];
        ReadOnlySpan<byte> bytes = _slots.Slice((uint)(slot * SlotBytes), SlotBytes).AsSpan();
        Assert.Equal(0, bytes[StatusOffset]);
        if (isWrite)
        {
            _generations[block]++;
        }
        else
        {
            byte[] expected = new byte[BlockBytes];
            Fill(expected, block, _generations[block]);
            Assert.True(bytes.Slice(DataOffset, BlockBytes).SequenceEqual(expected), $"queue {_queue.Index}: block {block} was read wrongly");
        }

        _busy[block] = false;
        _free.Push(slot);
        Completed++;
    }

    /// <summary>Content of a block after so many writes; before the first it is zeroes.</summary>
    private void Fill(Span<byte> data, int block, uint generation)
    {
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(data);
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = generation == 0 ? 0 : ((ulong)(FirstBlock + block) << 40) + ((ulong)generation << 12) + (ulong)i;
        }
    }
}
