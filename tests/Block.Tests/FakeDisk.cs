using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.Backends.Block.Stores;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Tests;

/// <summary>
/// An image as unkind as a real one may be: a volatile cache that loses what was not synced, a sync that covers no more than it must, errors
/// told once, transfers cut short, operations that finish late and in any order.
/// </summary>
internal sealed unsafe class FakeDisk(int lengthBytes, bool queues, int seed = 1)
{
    private const int SectorBytes = 512;

    private readonly Random _random = new(seed);
    private readonly byte[] _stable = new byte[lengthBytes];
    private readonly List<(long Sequence, byte[] Content)>[] _volatile = [.. Enumerable.Range(0, lengthBytes / SectorBytes).Select(_ => new List<(long, byte[])>())];
    private long _sequence;

    /// <summary>What reads see.</summary>
    public byte[] Cache { get; } = new byte[lengthBytes];

    /// <summary>How often each byte was written.</summary>
    public int[] Writes { get; } = new int[lengthBytes];

    /// <summary>How often each byte was read.</summary>
    public int[] Reads { get; } = new int[lengthBytes];

    /// <summary>Operations can be queued.</summary>
    public bool Queues { get; } = queues;

    /// <summary>Queued operations do not finish.</summary>
    public bool Hangs { get; set; }

    /// <summary>The file system cannot punch holes or zero ranges.</summary>
    public bool CannotAllocate { get; set; }

    /// <summary>Called for each operation: an error number, a shorter length for a transfer, or null to go on.</summary>
    public Func<FakeOperation, int?> Fault { get; set; } = _ => null;

    /// <summary>Images opened and not closed.</summary>
    public int OpenQueues { get; private set; }

    /// <summary>A store over this disk, as many queues as wanted.</summary>
    public FileStore<FakeImage> Store(bool inMemory = false, uint alignment = 1)
    {
        var medium = new FileMedium
        {
            LengthBytes = (ulong)Cache.Length,
            IsInMemory = inMemory,
            MemoryAlignmentBytes = alignment,
            PositionAlignmentBytes = alignment,
        };
        return new FileStore<FakeImage>(medium, (_, _) => new FakeImage(new Queue(this)), () => Sync(_sequence), () => { });
    }

    /// <summary>What a power cut now would leave: all that is stable, and of the rest whatever the cache got round to.</summary>
    public byte[] Crash()
    {
        byte[] image = [.. _stable];
        for (int sector = 0; sector < _volatile.Length; sector++)
        {
            int version = _random.Next(_volatile[sector].Count + 1);
            if (version != 0)
            {
                _volatile[sector][version - 1].Content.CopyTo(image, sector * SectorBytes);
            }
        }

        return image;
    }

    private int Transfer(FakeOperation operation, List<(nint Address, int LengthBytes)> pieces)
    {
        int length = (int)operation.LengthBytes;
        if (Fault(operation) is { } fault)
        {
            if (fault <= 0)
            {
                return fault;
            }

            length = Math.Min(fault, length);
        }

        int position = (int)operation.Position, done = 0;
        foreach ((nint address, int pieceBytes) in pieces)
        {
            int now = Math.Min(Math.Min(pieceBytes, length - done), Cache.Length - position - done);
            var guest = new Span<byte>((void*)address, Math.Max(now, 0));
            if (operation.Kind == FakeKind.Read)
            {
                Cache.AsSpan(position + done, guest.Length).CopyTo(guest);
                Count(Reads.AsSpan(position + done, guest.Length));
            }
            else
            {
                guest.CopyTo(Cache.AsSpan(position + done));
                Count(Writes.AsSpan(position + done, guest.Length));
            }

            done += guest.Length;
        }

        if (operation.Kind == FakeKind.Write)
        {
            Keep(position, done, operation.Durable);
        }

        return done;
    }

    private int Allocate(FakeOperation operation)
    {
        if (Fault(operation) is { } fault)
        {
            return fault;
        }

        if (CannotAllocate)
        {
            return -Errno.EOPNOTSUPP;
        }

        Cache.AsSpan((int)operation.Position, (int)operation.LengthBytes).Clear();
        Keep((int)operation.Position, (int)operation.LengthBytes, durable: false);
        return 0;
    }

    private void Keep(int position, int count, bool durable)
    {
        _sequence++;
        for (int sector = position / SectorBytes; sector * SectorBytes < position + count; sector++)
        {
            byte[] content = Cache.AsSpan(sector * SectorBytes, SectorBytes).ToArray();
            if (durable)
            {
                _volatile[sector].Clear();
                content.CopyTo(_stable, sector * SectorBytes);
            }
            else
            {
                _volatile[sector].Add((_sequence, content));
            }
        }
    }

    /// <summary>Makes stable what was written up to <paramref name="covered"/>. After an error it counts as clean and the error as told, as on Linux.</summary>
    private int Sync(long covered)
    {
        int? fault = Fault(new FakeOperation(FakeKind.Sync, 0, 0, false, false));
        for (int sector = 0; sector < _volatile.Length; sector++)
        {
            foreach ((long sequence, byte[] content) in _volatile[sector])
            {
                if (sequence <= covered && fault is null)
                {
                    content.CopyTo(_stable, sector * SectorBytes);
                }
            }

            _volatile[sector].RemoveAll(version => version.Sequence <= covered);
        }

        return fault ?? 0;
    }

    private static void Count(Span<int> counters)
    {
        foreach (ref int counter in counters)
        {
            counter++;
        }
    }

    private static List<(nint Address, int LengthBytes)> Pieces(BufferList list, uint offset, uint lengthBytes)
    {
        var pieces = new List<(nint, int)>();
        for (int i = 0; i < list.Count && lengthBytes != 0; i++)
        {
            Span<byte> piece = list[i].AsSpan();
            uint skip = Math.Min(offset, (uint)piece.Length), now = Math.Min(lengthBytes, (uint)piece.Length - skip);
            offset -= skip;
            lengthBytes -= now;
            if (now != 0)
            {
                // SAFETY: guest memory is mapped, not collected; the store keeps it until the operation is reaped, which is what is tested.
                pieces.Add(((nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(piece)) + (nint)skip, (int)now));
            }
        }

        return pieces;
    }

    /// <summary>One queue's operations.</summary>
    internal sealed class Queue
    {
        private readonly FakeDisk _disk;
        private readonly List<Pending> _queued = [];
        private readonly List<Pending> _submitted = [];

        public Queue(FakeDisk disk)
        {
            _disk = disk;
            disk.OpenQueues++;
        }

        public bool CanQueue => _disk.Queues;

        public int Read(BufferList target, uint offset, uint lengthBytes, ulong position, TransferModes modes) => _disk.Transfer(
            new FakeOperation(FakeKind.Read, position, lengthBytes, false, modes.HasFlag(TransferModes.NoWait)), Pieces(target, offset, lengthBytes));

        public int Write(BufferList source, uint offset, uint lengthBytes, ulong position, TransferModes modes) => _disk.Transfer(
            new FakeOperation(FakeKind.Write, position, lengthBytes, modes.HasFlag(TransferModes.DataSync), modes.HasFlag(TransferModes.NoWait)),
            Pieces(source, offset, lengthBytes));

        public int Sync() => _disk.Sync(_disk._sequence);

        public int Allocate(ulong position, ulong lengthBytes) => _disk.Allocate(new FakeOperation(FakeKind.Allocate, position, (uint)lengthBytes, false, false));

        public void Add(ushort slot, FakeOperation operation, BufferList list, uint offset)
        {
            Assert.True(CanQueue);
            _queued.Add(new Pending(slot, operation, Pieces(list, offset, operation.LengthBytes), 0));
        }

        public bool Submit()
        {
            // A sync covers what had completed when the kernel got it, and nothing later.
            _submitted.AddRange(_queued.Select(pending => pending with { Covered = _disk._sequence }));
            bool any = _queued.Count != 0;
            _queued.Clear();
            return any;
        }

        public bool TryReap(out ushort slot, out int result)
        {
            slot = 0;
            result = 0;
            if (_disk.Hangs || _submitted.Count == 0 || _disk._random.Next(3) == 0)
            {
                return false;
            }

            int index = _disk._random.Next(_submitted.Count);
            Pending pending = _submitted[index];
            _submitted.RemoveAt(index);
            slot = pending.Slot;
            result = pending.Operation.Kind switch
            {
                FakeKind.Sync => _disk.Sync(pending.Covered),
                FakeKind.Allocate => _disk.Allocate(pending.Operation),
                _ => _disk.Transfer(pending.Operation, pending.Pieces),
            };
            return true;
        }

        public bool IsIdle => _queued.Count == 0 && _submitted.Count == 0;

        public void Close() => _disk.OpenQueues--;

        private sealed record Pending(ushort Slot, FakeOperation Operation, List<(nint Address, int LengthBytes)> Pieces, long Covered);
    }
}
