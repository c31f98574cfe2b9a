using System.Diagnostics;
using Paravane.Backends.Block.Spec;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>
/// Requests on an image, each a row of operations: what came short goes on from where it stopped, what was interrupted is repeated, and
/// each byte is transferred once (threats B6).
/// </summary>
/// <remarks>
/// An operation is done here and now where nothing can wait (memory, a file in memory) or nothing can be queued (no io_uring); tried first without
/// waiting where the page cache may have the answer; and queued otherwise. What is done here and now is done in slices, so many a turn: a guest's largest request
/// takes minutes, which other queues do not wait (threats R14).
/// </remarks>
internal struct FileQueue<TImage> : IStoreQueue
    where TImage : struct, IImage
{
    /// <summary>
    /// Requests of a turn up to which a call each, which must not wait, is quicker than one entry for all of them: 4 KiB from the page cache took
    /// 0.8 µs against 1.1 µs one by one, and 1.9 µs against 1.1 µs at 32 a turn.
    /// </summary>
    private const int MaxTries = 2;

    /// <summary>Bytes that one operation here and now copies or zeroes at most, and a turn in all: about 100 µs.</summary>
    private const uint SliceBytes = 1 << 20;

    /// <summary>Bytes that one operation here and now gives back at most: no byte of them is touched.</summary>
    private const uint PunchSliceBytes = 16 * SliceBytes;

    /// <summary>Result of an operation that went to the kernel's queue.</summary>
    private const int Queued = int.MinValue;

    private readonly FileMedium _medium;
    private readonly FileRequest[] _requests;
    private readonly BlkSegment[] _segments; // MaxSegments for each slot: private copies, checked
    private readonly ZeroBuffer _zeroes;
    private readonly BounceBuffers? _bounce;
    private readonly ushort[] _waiting; // slots that wait for a bounce buffer or for the next turn, first in first out
    private readonly bool _inline;
    private readonly bool _mayTry;
    private bool _tries;
    private TImage _image;
    private int _waitingStart;
    private int _waitingCount;
    private long _turnBytes; // that this turn may still do here and now

    public FileQueue(FileMedium medium, TImage image, ZeroBuffer zeroes, int queueSize)
    {
        _medium = medium;
        _image = image;
        _zeroes = zeroes;
        _requests = new FileRequest[queueSize];
        _segments = new BlkSegment[queueSize * BlockLimits.MaxSegments];
        _inline = medium.IsInMemory || !image.CanQueue;
        bool direct = medium.PositionAlignmentBytes > 1;
        _mayTry = !_inline && !direct;
        _tries = false;
        _bounce = direct ? new BounceBuffers() : null;
        _waiting = new ushort[direct || _inline ? queueSize : 0];
        _waitingStart = 0;
        _waitingCount = 0;
    }

    /// <inheritdoc/>
    public static bool Waits => true;

    /// <inheritdoc/>
    public int WakeDescriptor => _image.WakeDescriptor;

    /// <inheritdoc/>
    public readonly bool HasBacklog => _inline && _waitingCount != 0;

    /// <inheritdoc/>
    public void BeginTurn() => _turnBytes = SliceBytes;

    /// <inheritdoc/>
    public void Begin(int requests) => _tries = _mayTry && requests <= MaxTries;

    /// <inheritdoc/>
    public BlkStatus Read(ushort slot, BufferList target, uint lengthBytes, ulong position, out uint writtenBytes)
    {
        ref FileRequest request = ref _requests[slot];
        request = new FileRequest { Verb = FileVerb.Read, Step = FileStep.Transfer, Position = position, LengthBytes = lengthBytes, Bounce = -1 };
        BlkStatus status = Run(slot, ref request, target);
        writtenBytes = request.DoneBytes;
        return status;
    }

    /// <inheritdoc/>
    public BlkStatus Write(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable)
    {
        ref FileRequest request = ref _requests[slot];
        request = new FileRequest
        {
            Verb = FileVerb.Write,
            Step = FileStep.Transfer,
            Position = position,
            LengthBytes = lengthBytes,
            BufferOffset = offset,
            Bounce = -1,
            Durable = durable,
        };
        return Run(slot, ref request, source);
    }

    /// <inheritdoc/>
    public BlkStatus Flush(ushort slot)
    {
        if (_medium.FlushFailed)
        {
            _medium.CountFailedFlush();
            return BlkStatus.IoError;
        }

        ref FileRequest request = ref _requests[slot];
        request = new FileRequest { Verb = FileVerb.Flush, Step = FileStep.Sync, Bounce = -1 };
        return Run(slot, ref request, default);
    }

    /// <inheritdoc/>
    public BlkStatus Discard(ushort slot, ReadOnlySpan<BlkSegment> segments, bool durable) => StartSegments(slot, FileVerb.Discard, segments, durable: false);

    /// <inheritdoc/>
    public BlkStatus WriteZeroes(ushort slot, ReadOnlySpan<BlkSegment> segments, bool durable) => StartSegments(slot, FileVerb.Zero, segments, durable);

    /// <inheritdoc/>
    public bool Submit() => _image.Submit();

    /// <inheritdoc/>
    public bool TryArm() => !HasBacklog && !MayGoOn && _image.TryArm();

    /// <inheritdoc/>
    public void Disarm() => _image.Disarm();

    /// <inheritdoc/>
    public bool TryReap(out ushort slot, out int result)
    {
        if (MayGoOn)
        {
            slot = _waiting[_waitingStart];
            _waitingStart = _waitingStart + 1 == _waiting.Length ? 0 : _waitingStart + 1;
            _waitingCount--;
            result = -Errno.EAGAIN; // «nothing happened, try again»
            return true;
        }

        return _image.TryReap(out slot, out result);
    }

    /// <inheritdoc/>
    public BlkStatus Continue(ushort slot, BufferList buffers, int result, out uint writtenBytes)
    {
        ref FileRequest request = ref _requests[slot];
        BlkStatus status = Apply(slot, ref request, buffers, result);
        if (status == BlkStatus.Pending)
        {
            status = Run(slot, ref request, buffers);
        }

        writtenBytes = request.Verb == FileVerb.Read ? request.DoneBytes : 0;
        return status;
    }

    /// <inheritdoc/>
    public readonly bool IsRead(ushort slot) => _requests[slot].Verb == FileVerb.Read;

    /// <inheritdoc/>
    public void OnMemoryChanged(GuestMemory memory) => _image.OnMemoryChanged(memory);

    /// <inheritdoc/>
    public void Dispose()
    {
        _image.Dispose(); // waits for what is in flight, which may use the bounce buffers
        _bounce?.Dispose();
    }

    /// <summary>One that waits has what it waits for.</summary>
    private readonly bool MayGoOn => _waitingCount != 0 && (_inline ? _turnBytes > 0 : _bounce!.HasFree);

    private BlkStatus StartSegments(ushort slot, FileVerb verb, ReadOnlySpan<BlkSegment> segments, bool durable)
    {
        segments.CopyTo(_segments.AsSpan(slot * BlockLimits.MaxSegments));
        ref FileRequest request = ref _requests[slot];
        request = new FileRequest { Verb = verb, SegmentCount = (byte)segments.Length, Bounce = -1, Durable = durable };
        BlkStatus status = SelectSegment(slot, ref request);
        return status == BlkStatus.Pending ? Run(slot, ref request, default) : status;
    }

    /// <summary>Does operations until one is queued or the request is through.</summary>
    private BlkStatus Run(ushort slot, ref FileRequest request, BufferList buffers)
    {
        while (true)
        {
            if (_inline && _turnBytes <= 0)
            {
                LetWait(slot);
                return BlkStatus.Pending;
            }

            int result = Issue(slot, ref request, buffers);
            if (result == Queued)
            {
                return BlkStatus.Pending;
            }

            BlkStatus status = Apply(slot, ref request, buffers, result);
            if (status != BlkStatus.Pending)
            {
                return status;
            }
        }
    }

    private void LetWait(ushort slot)
    {
        int end = _waitingStart + _waitingCount++;
        _waiting[end >= _waiting.Length ? end - _waiting.Length : end] = slot;
    }

    private int Issue(ushort slot, ref FileRequest request, BufferList buffers)
    {
        switch (request.Step)
        {
            case FileStep.Transfer:
                return IssueTransfer(slot, ref request, buffers);

            case FileStep.Punch or FileStep.ZeroRange:
                AllocateMode mode = request.Step == FileStep.Punch ? AllocateMode.PunchHole : AllocateMode.ZeroRange;
                if (_inline)
                {
                    request.SliceBytes = Math.Min(request.LengthBytes - request.DoneBytes, mode == AllocateMode.PunchHole ? PunchSliceBytes : SliceBytes);
                    _turnBytes -= SliceBytes;
                    return _image.Allocate(mode, request.Position + request.DoneBytes, request.SliceBytes);
                }

                request.SliceBytes = request.LengthBytes;
                _image.QueueAllocate(slot, mode, request.Position, request.LengthBytes);
                return Queued;

            case FileStep.ZeroWrite:
                uint lengthBytes = Math.Min(request.LengthBytes - request.DoneBytes, ZeroBuffer.LengthBytes);
                return IssueWrite(slot, _zeroes.List, 0, lengthBytes, request.Position + request.DoneBytes, durable: false);

            default:
                if (_inline)
                {
                    return _image.DataSync();
                }

                _image.QueueDataSync(slot);
                return Queued;
        }
    }

    private int IssueTransfer(ushort slot, ref FileRequest request, BufferList buffers)
    {
        uint offset = request.BufferOffset + request.DoneBytes, lengthBytes = request.LengthBytes - request.DoneBytes;
        ulong position = request.Position + request.DoneBytes;
        if (_bounce is not null)
        {
            uint aligned = buffers.AlignedRun(offset, lengthBytes, _medium.MemoryAlignmentBytes, _medium.PositionAlignmentBytes);
            if (aligned == 0)
            {
                return IssueBounced(slot, ref request, buffers, offset, lengthBytes, position);
            }

            lengthBytes = aligned;
        }

        bool read = request.Verb == FileVerb.Read;
        if (_tries && !request.Tried && !request.Durable && !(read ? _medium.CannotTryRead : _medium.CannotTryWrite))
        {
            request.Tried = true;
            int result = read
                ? _image.Read(buffers, offset, lengthBytes, position, TransferModes.NoWait)
                : _image.Write(buffers, offset, lengthBytes, position, TransferModes.NoWait);
            if (result is not -Errno.EAGAIN and not -Errno.EOPNOTSUPP)
            {
                return result;
            }

            LearnFromAttempt(read, result);
        }

        return read ? IssueRead(slot, buffers, offset, lengthBytes, position) : IssueWrite(slot, buffers, offset, lengthBytes, position, request.Durable);
    }

    private readonly void LearnFromAttempt(bool read, int result)
    {
        if (result != -Errno.EOPNOTSUPP)
        {
            return;
        }

        if (read)
        {
            _medium.ForgetTryRead();
        }
        else
        {
            _medium.ForgetTryWrite();
        }
    }

    /// <summary>Direct I/O on a misaligned piece: through a buffer of our own, up to where the pieces are aligned again.</summary>
    private int IssueBounced(ushort slot, ref FileRequest request, BufferList buffers, uint offset, uint lengthBytes, ulong position)
    {
        if (!_bounce!.TryRent(out int bounce))
        {
            LetWait(slot);
            return Queued;
        }

        request.Bounce = (sbyte)bounce;
        lengthBytes = buffers.MisalignedRun(
            offset, Math.Min(lengthBytes, BounceBuffers.BufferBytes), _medium.MemoryAlignmentBytes, _medium.PositionAlignmentBytes);
        BufferList list = _bounce[bounce];
        if (request.Verb == FileVerb.Read)
        {
            return IssueRead(slot, list, 0, lengthBytes, position);
        }

        BufferList.Copy(buffers, offset, list, 0, lengthBytes);
        return IssueWrite(slot, list, 0, lengthBytes, position, request.Durable);
    }

    private int IssueRead(ushort slot, BufferList target, uint offset, uint lengthBytes, ulong position)
    {
        if (_inline)
        {
            lengthBytes = Math.Min(lengthBytes, SliceBytes);
            _turnBytes -= lengthBytes;
            return _image.Read(target, offset, lengthBytes, position, TransferModes.None);
        }

        _image.QueueRead(slot, target, offset, lengthBytes, position);
        return Queued;
    }

    private int IssueWrite(ushort slot, BufferList source, uint offset, uint lengthBytes, ulong position, bool durable)
    {
        if (_inline)
        {
            lengthBytes = Math.Min(lengthBytes, SliceBytes);
            _turnBytes -= lengthBytes;
            return _image.Write(source, offset, lengthBytes, position, durable ? TransferModes.DataSync : TransferModes.None);
        }

        _image.QueueWrite(slot, source, offset, lengthBytes, position, durable);
        return Queued;
    }

    /// <summary>Takes the result of an operation in.</summary>
    /// <returns>Pending: there is more to do.</returns>
    private BlkStatus Apply(ushort slot, ref FileRequest request, BufferList buffers, int result)
    {
        bool repeat = result is -Errno.EINTR or -Errno.EAGAIN;
        if (request.Bounce >= 0)
        {
            if (result > 0 && request.Verb == FileVerb.Read)
            {
                BufferList.Copy(_bounce![request.Bounce], 0, buffers, request.BufferOffset + request.DoneBytes, (uint)result);
            }

            _bounce!.Return(request.Bounce);
            request.Bounce = -1;
        }

        if (repeat)
        {
            return BlkStatus.Pending;
        }

        switch (request.Step)
        {
            case FileStep.Transfer or FileStep.ZeroWrite:
                if (result <= 0)
                {
                    return Fail(ref request, result); // 0: the image became shorter than its disk
                }

                Debug.Assert((uint)result <= request.LengthBytes - request.DoneBytes, "not more than asked for");
                request.DoneBytes += (uint)result;
                if (request.DoneBytes != request.LengthBytes)
                {
                    return BlkStatus.Pending;
                }

                return request.Step == FileStep.Transfer ? BlkStatus.Ok : NextSegment(slot, ref request);

            case FileStep.Punch or FileStep.ZeroRange:
                if (result < 0)
                {
                    return ApplyAllocateFailure(slot, ref request, result);
                }

                request.DoneBytes += request.SliceBytes;
                return request.DoneBytes == request.LengthBytes ? NextSegment(slot, ref request) : BlkStatus.Pending;

            default:
                if (result < 0)
                {
                    _medium.LatchFlushFailure();
                }

                if (!_medium.FlushFailed)
                {
                    return BlkStatus.Ok;
                }

                _medium.CountFailedFlush();
                return BlkStatus.IoError;
        }
    }

    /// <summary>Falls back from a hole to a zeroed range to written zeroes; a discard is only a hint and needs none of them.</summary>
    private BlkStatus ApplyAllocateFailure(ushort slot, ref FileRequest request, int result)
    {
        if (result is not -Errno.EOPNOTSUPP and not -Errno.EINVAL and not -Errno.ENODEV and not -Errno.ENOSYS)
        {
            return Fail(ref request, result);
        }

        bool forGood = result != -Errno.EINVAL; // EINVAL is about this range, such as one that is no multiple of the device's block
        if (request.Step == FileStep.Punch)
        {
            if (forGood)
            {
                _medium.ForgetPunch();
            }

            if (request.Verb == FileVerb.Discard)
            {
                return NextSegment(slot, ref request);
            }

            request.Step = _medium.CannotZeroRange ? FileStep.ZeroWrite : FileStep.ZeroRange;
            return BlkStatus.Pending;
        }

        if (forGood)
        {
            _medium.ForgetZeroRange();
        }

        request.Step = FileStep.ZeroWrite;
        return BlkStatus.Pending;
    }

    private BlkStatus NextSegment(ushort slot, ref FileRequest request)
    {
        request.Segment++;
        return SelectSegment(slot, ref request);
    }

    /// <summary>Makes the current segment's operation the next one; passes over segments without sectors.</summary>
    private BlkStatus SelectSegment(ushort slot, ref FileRequest request)
    {
        for (; request.Segment < request.SegmentCount; request.Segment++)
        {
            BlkSegment segment = _segments[(slot * BlockLimits.MaxSegments) + request.Segment];
            if (segment.Sectors == 0 || (request.Verb == FileVerb.Discard && _medium.CannotPunch))
            {
                continue;
            }

            request.Position = segment.Sector * BlockLimits.SectorBytes;
            request.LengthBytes = segment.Sectors * BlockLimits.SectorBytes;
            request.DoneBytes = 0;
            request.Step = request.Verb == FileVerb.Discard || (segment.MayUnmap && !_medium.CannotPunch) ? FileStep.Punch
                : _medium.CannotZeroRange ? FileStep.ZeroWrite : FileStep.ZeroRange;
            return BlkStatus.Pending;
        }

        if (!request.Durable)
        {
            return BlkStatus.Ok;
        }

        request.Step = FileStep.Sync;
        return BlkStatus.Pending;
    }

    private readonly BlkStatus Fail(ref FileRequest request, int result)
    {
        if (request.Durable && result != -Errno.ENOSPC)
        {
            // The sync inside a durable write may have consumed the error of somebody's earlier, completed write.
            _medium.LatchFlushFailure();
        }

        _medium.CountFailure(result);
        return result == -Errno.EOPNOTSUPP ? BlkStatus.Unsupported : BlkStatus.IoError;
    }
}
