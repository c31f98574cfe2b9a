using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Memory;
using static Paravane.VirtioQueues.Linux.IoUringAbi;

namespace Paravane.VirtioQueues.Linux;

/// <summary>An io_uring over one open file: operations straight into guest pages, handed to the kernel in one call a burst.</summary>
/// <remarks>
/// Created, used and disposed by one thread (SINGLE_ISSUER). Operations stay private until <see cref="Submit"/>; when the submission ring is
/// full it is called on its own. Lists of pieces are copied, so only the pages themselves must stay until the operation is reaped.
/// </remarks>
public sealed unsafe partial class IoUring : FileDescriptor
{
    /// <summary>Operations that fit between two kernel entries: two bursts of a queue.</summary>
    internal const uint SubmissionEntries = 128;

    /// <summary>Longest list of one operation: IOV_MAX. A longer one makes a short transfer.</summary>
    private const int MaxPieces = 1024;

    /// <summary>Pieces of all operations between two kernel entries.</summary>
    private const int ArenaPieces = 8 * MaxPieces;

    private readonly Mapping _ring;
    private readonly Mapping _sqeMapping;
    private readonly Mapping _arena;
    private readonly Sqe* _sqes;
    private readonly Cqe* _cqes;
    private readonly uint* _sqHead; // kernel's
    private readonly uint* _sqTail; // ours
    private readonly uint* _sqFlags; // kernel's
    private readonly uint* _cqHead; // ours
    private readonly uint* _cqTail; // kernel's
    private readonly uint* _cqFlags; // ours; null on kernels before 5.8
    private readonly EventFd _wake;
    private readonly uint _sqMask;
    private readonly uint _sqEntries;
    private readonly uint _cqMask;
    private readonly int _file;
    private readonly byte _sqeFlags;
    private int _enterFd;
    private uint _enterFlags;
    private uint _tail; // next free submission entry
    private uint _head; // next completion
    private uint _headPublished;
    private int _arenaUsed;
    private bool _isArmed;

    /// <summary>Operations queued or submitted and not reaped yet.</summary>
    public int InFlight { get; private set; }

    /// <summary>Readable when an operation finished after <see cref="TryArm"/>, until <see cref="Disarm"/>.</summary>
    /// <remarks>An eventfd: the ring's own descriptor is not woken for completions that wait for the kernel to be entered (DEFER_TASKRUN).</remarks>
    public int WakeDescriptor => _wake.Number;

    /// <summary>True when <see cref="Submit"/> or <see cref="TryReap"/> would find something.</summary>
    public bool HasWork => _tail != Volatile.Read(ref *_sqHead) || _head != Volatile.Read(ref *_cqTail) || KernelWantsEntry;

    /// <summary>Completions wait inside the kernel until it is entered.</summary>
    private bool KernelWantsEntry => (Volatile.Read(ref *_sqFlags) & (SqTaskRun | SqCqOverflow)) != 0;

    /// <summary>Queues a read into <paramref name="target"/> from its byte <paramref name="offset"/> on. May come back short.</summary>
    public void QueueRead(BufferList target, uint offset, uint lengthBytes, ulong position, ulong userData) =>
        QueueTransfer(target, offset, lengthBytes, position, userData, Read, 0);

    /// <summary>Queues a write from <paramref name="source"/>, from its byte <paramref name="offset"/> on. May come back short.</summary>
    /// <remarks>With <paramref name="durable"/> it is on stable storage before it completes (<c>RWF_DSYNC</c>).</remarks>
    public void QueueWrite(BufferList source, uint offset, uint lengthBytes, ulong position, bool durable, ulong userData) =>
        QueueTransfer(source, offset, lengthBytes, position, userData, Write, durable ? (uint)TransferModes.DataSync : 0);

    /// <summary>Queues an <c>fdatasync</c>. It covers what completed before it was submitted.</summary>
    public void QueueDataSync(ulong userData)
    {
        Sqe* entry = NextEntry(FSync, userData);
        entry->OperationFlags = FsyncDataSync;
    }

    /// <summary>Queues an <c>fallocate</c>.</summary>
    public void QueueAllocate(AllocateMode mode, ulong position, ulong lengthBytes, ulong userData)
    {
        Sqe* entry = NextEntry(FAllocate, userData);
        entry->Offset = position;
        entry->Address = lengthBytes;
        entry->Length = (uint)mode;
    }

    /// <summary>Hands queued operations over and lets the kernel post completions, in one call. Makes none when there is no reason to.</summary>
    /// <returns>True when the kernel was entered.</returns>
    public bool Submit()
    {
        uint queued = _tail - Volatile.Read(ref *_sqHead);
        if (queued == 0 && !KernelWantsEntry)
        {
            return false;
        }

        Enter(queued, 0);
        return true;
    }

    /// <summary>Takes one finished operation.</summary>
    /// <param name="userData">What it was queued with.</param>
    /// <param name="result">A count, or a negative error number.</param>
    public bool TryReap(out ulong userData, out int result)
    {
        // Acquire: the entry is read after the index that announces it. Pairs with the kernel's release of the completion tail.
        if (_head == Volatile.Read(ref *_cqTail))
        {
            if (_head != _headPublished)
            {
                // Release: entries were read before their room is given back, once for all of them.
                Volatile.Write(ref *_cqHead, _head);
                _headPublished = _head;
            }

            userData = 0;
            result = 0;
            return false;
        }

        Cqe* entry = _cqes + (_head & _cqMask);
        userData = entry->UserData;
        result = entry->Result;
        _head++;
        InFlight--;
        return true;
    }

    /// <summary>Before sleeping: makes <see cref="WakeDescriptor"/> tell of completions, then looks again.</summary>
    /// <returns>False when there is something to do already.</returns>
    public bool TryArm()
    {
        Disarm(); // a signal left from the last time would wake for nothing
        if (InFlight == 0)
        {
            return true;
        }

        _isArmed = true;
        if (_cqFlags != null)
        {
            Volatile.Write(ref *_cqFlags, 0);
        }

        // Full fence: the store above before the loads of HasWork (StoreLoad). Pairs with the kernel's barrier between
        // announcing a completion and looking whether the eventfd is wanted.
        Interlocked.MemoryBarrier();
        return !HasWork;
    }

    /// <summary>After waking: no eventfd writes while completions are polled for.</summary>
    public void Disarm()
    {
        if (!_isArmed)
        {
            return;
        }

        _isArmed = false;
        if (_cqFlags != null)
        {
            Volatile.Write(ref *_cqFlags, CqEventFdDisabled);
        }

        _wake.Drain();
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing && !IsClosed && !IsInvalid)
        {
            // The kernel may be writing into guest pages: wait for all of it (threats R15).
            while (InFlight > 0)
            {
                while (TryReap(out _, out _))
                {
                }

                if (InFlight > 0)
                {
                    Enter(_tail - Volatile.Read(ref *_sqHead), 1);
                }
            }

            UnregisterRing();
            _wake?.Dispose(); // null where the process had no descriptor or memory left for it
            _ring?.Dispose();
            _sqeMapping?.Dispose();
            _arena?.Dispose();
        }

        base.Dispose(disposing);
    }

    private void QueueTransfer(BufferList list, uint offset, uint lengthBytes, ulong position, ulong userData, byte opcode, uint modes)
    {
        if (_arenaUsed > ArenaPieces - MaxPieces)
        {
            DrainSubmissions();
        }

        // The entry first: making room for it enters the kernel, after which the whole arena is free again.
        Sqe* entry = NextEntry(opcode, userData);
        GuestBuffer* pieces = (GuestBuffer*)_arena.Address + _arenaUsed;
        int count = list.Slice(offset, lengthBytes, pieces, MaxPieces);
        entry->Offset = position;
        entry->OperationFlags = modes;
        if (count == 1)
        {
            entry->Address = (ulong)pieces->Host;
            entry->Length = (uint)pieces->LengthBytes;
            if (_registered.Count != 0 && TryFindRegistered(pieces->Host, pieces->LengthBytes, out ushort index))
            {
                entry->Opcode = opcode == Read ? ReadFixed : WriteFixed;
                entry->BufferIndex = index;
            }

            return;
        }

        entry->Opcode = opcode == Read ? ReadV : WriteV;
        entry->Address = (ulong)pieces;
        entry->Length = (uint)count;
        _arenaUsed += count;
    }

    /// <summary>The next submission entry, cleared but for what every operation has.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Sqe* NextEntry(byte opcode, ulong userData)
    {
        if (_tail - Volatile.Read(ref *_sqHead) == _sqEntries)
        {
            DrainSubmissions();
        }

        Sqe* entry = _sqes + (_tail++ & _sqMask);
        *entry = default;
        entry->Opcode = opcode;
        entry->Flags = _sqeFlags;
        entry->Fd = _file;
        entry->UserData = userData;
        InFlight++;
        return entry;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void DrainSubmissions()
    {
        uint queued;
        while ((queued = _tail - Volatile.Read(ref *_sqHead)) != 0)
        {
            Enter(queued, 0);
        }
    }

    /// <summary>One kernel entry. Operations that it does not take (out of memory) stay queued for the next one.</summary>
    private void Enter(uint queued, uint wanted)
    {
        // Release: entries before the index. Pairs with the kernel's acquire of the submission tail.
        Volatile.Write(ref *_sqTail, _tail);
        _ = Native.Syscall(EnterCall, _enterFd, (nint)queued, (nint)wanted, (nint)(EnterGetEvents | _enterFlags));
        if (_tail == Volatile.Read(ref *_sqHead))
        {
            _arenaUsed = 0; // the kernel has copied every list (SUBMIT_STABLE)
        }
    }
}
