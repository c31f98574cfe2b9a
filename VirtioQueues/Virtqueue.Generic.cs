using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues;

/// <summary>A started queue, as its device sees it: fill a window of chains, look at them, consume some, complete them in any order, publish once.</summary>
/// <remarks>
/// Worker thread only. The type argument makes one compiled body per ring format. A turn of a device:
/// <code>
/// int n = queue.Fill(Burst);
/// for (int i = 0; i &lt; n; i++) { Chain chain = queue.Peek(i); … queue.Complete(chain.Token, written); }
/// queue.Consume(n);
/// queue.Publish();
/// </code>
/// Chains that were filled but not consumed stay in the window for the next turn, and can be given back.
/// </remarks>
/// <typeparam name="TRing">Split or packed.</typeparam>
public sealed unsafe class Virtqueue<TRing> : Virtqueue
    where TRing : struct, IRing<TRing>
{
    /// <summary>Chains that the window holds at most: enough to overlap all cache misses of a pass, few enough to bound a turn.</summary>
    public const int WindowSize = 64;

    /// <summary>Shift between the slots of even and odd queues: a receive and a transmit queue are walked side by side, and at equal page offsets their loads would wait for each other's stores.</summary>
    private const int SlotColourBytes = 2048;

    private readonly Mapping _scratch;
    private readonly ChainSlot* _slots;
    private readonly ushort* _free;
    private readonly ushort* _window;
    private readonly int _size;
    private readonly bool _isRecorded;
    private bool _isResumed;
    private TRing _ring;
    private ChainWalker _walker;
    private int _freeCount;
    private int _windowStart;
    private int _windowCount;
    private long _completed;

    /// <summary>Opens the ring. When its memory is not there the queue starts detached.</summary>
    /// <param name="config">What to start with; the caller checked it with <see cref="QueueConfig.FindError"/>.</param>
    /// <param name="memory">The table; acquired here and let go by <see cref="Virtqueue.Dispose"/>.</param>
    /// <exception cref="ArgumentException"><see cref="QueueConfig.FindError"/> has an objection to size or alignment.</exception>
    public Virtqueue(QueueConfig config, GuestMemory memory)
        : base(config, memory)
    {
        if (config.FindError(null) is { } error)
        {
            throw new ArgumentException($"queue {config.Index}: {error}", nameof(config));
        }

        nuint colour = (nuint)(config.Index & 1) * SlotColourBytes;
        nuint slotBytes = colour + ((nuint)config.Size * (nuint)sizeof(ChainSlot));
        _scratch = Mapping.Anonymous(slotBytes + (((nuint)config.Size + WindowSize) * sizeof(ushort)));
        _slots = (ChainSlot*)(_scratch.Address + colour);
        _free = (ushort*)(_scratch.Address + slotBytes);
        _window = _free + config.Size;
        for (int i = 0; i < config.Size; i++)
        {
            _free[i] = (ushort)(config.Size - 1 - i); // last in, first out: the slots in use stay in the cache
        }

        _size = config.Size;
        _freeCount = config.Size;
        _walker = new ChainWalker(config, memory);
        _ring = TRing.Open(config);
        _isWatched = _isRecorded = config.Inflight is not null;
        _attached = TryAttach(config, memory);
        memory.Acquire(); // last: nothing is held when something above throws
    }

    /// <inheritdoc/>
    public override long Completed => Volatile.Read(ref _completed);

    /// <inheritdoc/>
    public override int Unserved => _ring.Unserved;

    /// <inheritdoc/>
    public override QueueState State => _ring.State;

    /// <summary>Chains in the window.</summary>
    public int Window => _windowCount;

    /// <summary>Tops the window up to <paramref name="count"/> chains, each checked and translated.</summary>
    /// <param name="count">Wanted, at most <see cref="WindowSize"/>.</param>
    /// <returns>Chains in the window now; may be more than wanted, and fewer when the ring has no more, is paused or is broken.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Fill(int count)
    {
        if (_windowCount < count && !FetchPaused && _attached && Fault == ChainFault.None)
        {
            Take(Math.Min(count, WindowSize) - _windowCount);
        }

        return FetchPaused ? 0 : _windowCount;
    }

    /// <summary>
    /// True when waiting for more chains in the window is in vain: it is full, or the descriptors that the driver has left are too few for one
    /// more chain like the last.
    /// </summary>
    public bool IsWindowFinal()
    {
        if (_windowCount == WindowSize)
        {
            return true;
        }

        int descriptors = 0, last = 0;
        for (int i = 0; i < _windowCount; i++)
        {
            last = _slots[_window[_windowStart + i]].RingDescriptors;
            descriptors += last;
        }

        return _inFlight == 0 && descriptors + last > Config.Size;
    }

    /// <summary>Chain <paramref name="index"/> of the window, counted from the oldest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Chain Peek(int index)
    {
        if ((uint)index >= (uint)_windowCount)
        {
            ThrowIndex(index);
        }

        ushort slot = _window[_windowStart + index];
        return new Chain(_slots + slot, new ChainToken(slot));
    }

    /// <summary>All chains of the window, for a walk over them.</summary>
    public ChainWindow Chains => new(_slots, _window + _windowStart, _windowCount);

    /// <summary>Takes the oldest <paramref name="count"/> chains out of the window; they are in flight until completed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Consume(int count)
    {
        if ((uint)count > (uint)_windowCount)
        {
            ThrowIndex(count);
        }

        _windowCount -= count;
        _windowStart = _windowCount == 0 ? 0 : _windowStart + count;
        _inFlight += count;
    }

    /// <summary>The chain of a token, while it is in flight.</summary>
    public Chain this[ChainToken token] => new(SlotOf(token), token);

    /// <summary>Completes a chain, exactly once; the driver sees it after <see cref="Publish"/>.</summary>
    /// <param name="token">From <see cref="Chain.Token"/>.</param>
    /// <param name="writtenBytes">Bytes really written from the beginning of the writable part on: the used length.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Complete(ChainToken token, uint writtenBytes)
    {
        ChainSlot* slot = SlotOf(token);
        if (_isWatched)
        {
            WatchCompletion(slot);
        }

        _ring.Complete(slot, writtenBytes);
        slot->Taken = 0;
        _walker.Free(slot);
        _free[_freeCount++] = token.Slot;
        _inFlight--;
        _completed++;
    }

    /// <summary>Completes <paramref name="count"/> chains of the window in their order: as <see cref="Complete"/> for each, at a fraction of the work.</summary>
    /// <param name="index">The first of them in the window.</param>
    /// <param name="count">Number of chains.</param>
    /// <param name="writtenBytes">Used lengths, one for each; empty when nothing was written.</param>
    public void CompleteRun(int index, int count, ReadOnlySpan<uint> writtenBytes)
    {
        if ((uint)index > (uint)_windowCount || (uint)count > (uint)(_windowCount - index) || (!writtenBytes.IsEmpty && writtenBytes.Length < count))
        {
            ThrowIndex(index);
        }

        ushort* indices = _window + _windowStart + index;
        if (_isWatched)
        {
            WatchRun(indices, count);
        }

        ChainSlot* slots = _slots;
        ushort* free = _free + _freeCount;
        for (ushort* at = indices, end = indices + count; at < end; at++)
        {
            ChainSlot* slot = slots + *at;
            if (slot->State != ChainSlot.TakenInline)
            {
                FreeSlowly(*at);
            }

            slot->Taken = 0;
            *free++ = *at;
        }

        _freeCount += count;
        fixed (uint* written = writtenBytes)
        {
            _ring.CompleteRun(slots, indices, written, count);
        }

        _inFlight -= count;
        _completed += count;
    }

    /// <summary>Shows the driver everything completed since the last time, in one step, and calls it at most once.</summary>
    public void Publish()
    {
        if (!_attached)
        {
            return;
        }

        bool call = _ring.Publish();
        LogRing(); // after the stores: a page marked before them could be fetched without them
        if (call)
        {
            SignalCall();
        }
    }

    /// <inheritdoc/>
    public override bool TryArm()
    {
        // Without room the queue waits for its own completions, whatever the driver offers.
        if (!_attached || FetchPaused || IsStalled || Fault != ChainFault.None || !_walker.HasRoom)
        {
            return true;
        }

        bool idle = _ring.TryArm() && _windowCount == 0 && _ring.Unserved == 0;
        LogRing();
        return idle;
    }

    /// <inheritdoc/>
    public override bool TryArmForMore()
    {
        if (!_attached || FetchPaused || Fault != ChainFault.None || !_walker.HasRoom || _windowCount == WindowSize)
        {
            return true;
        }

        bool idle = _ring.TryArm() && _ring.Unserved == 0;
        LogRing();
        return idle;
    }

    /// <inheritdoc/>
    public override void Disarm()
    {
        if (_attached)
        {
            _ring.Disarm();
            LogRing();
        }
    }

    /// <inheritdoc/>
    public override void ReturnUnused()
    {
        while (_windowCount > 0)
        {
            ushort index = _window[_windowStart + --_windowCount];
            ChainSlot* slot = _slots + index;
            _ring.Rewind(slot);
            slot->Taken = 0;
            _walker.Free(slot);
            _free[_freeCount++] = index;
        }

        _windowStart = 0;
    }

    /// <inheritdoc/>
    public override bool MustDrainFor(GuestMemory next)
    {
        ArgumentNullException.ThrowIfNull(next);
        if (_inFlight == 0 || next.Contains(Memory))
        {
            return false;
        }

        if (_attached && Config.FindError(next) is not null)
        {
            return true;
        }

        for (int i = 0; i < Config.Size; i++)
        {
            ChainSlot* slot = _slots + i;
            for (int j = 0; slot->Taken != 0 && j < slot->ReadableCount + slot->WritableCount; j++)
            {
                if (Memory.LeavesWith(next, slot->Buffers[j].Host))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private protected override bool Attach(GuestMemory memory)
    {
        _walker.SetMemory(memory);
        return TryAttach(Config, memory);
    }

    private bool TryAttach(QueueConfig config, GuestMemory memory)
    {
        if (!_ring.TryAttach(config, memory))
        {
            return false;
        }

        if (_isRecorded && !_isResumed)
        {
            _isResumed = true;
            ChainFault fault = ChainFault.None;
            _ring.Resume(config, ref fault);
            Break(fault);
        }

        return true;
    }

    private protected override void ReleaseScratch()
    {
        _walker.Dispose();
        _scratch.Dispose();
    }

    [DoesNotReturn]
    private static void ThrowIndex(int index) => throw new ArgumentOutOfRangeException(nameof(index), index, "not in the window");

    [DoesNotReturn]
    private static void ThrowToken(ChainToken token) => throw new InvalidOperationException($"chain {token.Slot} is not in flight");

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ChainSlot* SlotOf(ChainToken token)
    {
        ChainSlot* slot = _slots + token.Slot;
        if (token.Slot >= _size || slot->Taken == 0)
        {
            ThrowToken(token);
        }

        return slot;
    }

    private void Take(int wanted)
    {
        if (_windowStart + _windowCount + wanted > WindowSize)
        {
            new Span<ushort>(_window + _windowStart, _windowCount).CopyTo(new Span<ushort>(_window, _windowCount));
            _windowStart = 0;
        }

        ChainFault fault = ChainFault.None;
        if (_isRecorded && _ring.Unserved != 0)
        {
            TakeAgain(wanted, ref fault);
            wanted = 0;
        }

        int windowCount = _windowCount;
        int count = wanted == 0 ? 0 : _ring.Available(wanted, ref fault);
        if (count > _freeCount)
        {
            // With a slot for each descriptor, all of them taken leaves the driver nothing to offer.
            count = _freeCount;
            fault = count == 0 ? ChainFault.TooManyInFlight : fault;
        }

        int run = count == 0 ? 0 : _ring.TakeRun(ref _walker, _slots, _free + _freeCount - 1, _window + _windowStart + _windowCount, count);
        _freeCount -= run;
        _windowCount += run;
        count -= run;
        while (count-- > 0 && _walker.HasRoom)
        {
            ushort index = _free[_freeCount - 1];
            ChainSlot* slot = _slots + index;
            ChainSlot.Open(slot);
            if (!_ring.TryTake(ref _walker, slot, ref fault))
            {
                slot->Taken = 0;
                _walker.Free(slot);
                break;
            }

            _freeCount--;
            _window[_windowStart + _windowCount++] = index;
        }

        if (_isRecorded)
        {
            _ring.RecordTaken(_slots, _window + _windowStart + windowCount, _windowCount - windowCount);
        }

        if (fault != ChainFault.None)
        {
            Fail(fault);
        }
    }

    /// <summary>Takes what a predecessor left undone; chains that the driver added since come with the next call.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TakeAgain(int wanted, ref ChainFault fault)
    {
        for (; wanted > 0 && _ring.Unserved != 0 && _freeCount != 0 && _walker.HasRoom; wanted--)
        {
            ushort index = _free[_freeCount - 1];
            ChainSlot* slot = _slots + index;
            ChainSlot.Open(slot);
            if (!_ring.TryTakeAgain(ref _walker, slot, ref fault))
            {
                slot->Taken = 0;
                _walker.Free(slot);
                return;
            }

            _freeCount--;
            _window[_windowStart + _windowCount++] = index;
        }
    }

    /// <summary>A chain of a run that holds an overflow chunk, or that was completed before.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeSlowly(ushort slot) => _walker.Free(SlotOf(new ChainToken(slot)));

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WatchRun(ushort* indices, int count)
    {
        for (int i = 0; i < count; i++)
        {
            WatchCompletion(SlotOf(new ChainToken(indices[i])));
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WatchCompletion(ChainSlot* slot)
    {
        if (Log is not null)
        {
            LogWrites(slot);
        }

        if (_isRecorded)
        {
            _ring.RecordComplete(slot);
        }
    }

    private void LogWrites(ChainSlot* slot)
    {
        GuestBuffer* buffer = slot->Buffers + slot->ReadableCount;
        for (int i = 0; i < slot->WritableCount; i++, buffer++)
        {
            if (!Memory.TryFindHost(buffer->Host, out GuestAddress address) || !Log!.TryMark(address, buffer->LengthBytes))
            {
                Break(ChainFault.DirtyLogTooSmall);
            }
        }
    }

    private protected override void LogRing()
    {
        if (Log is { } log && !_ring.TryLog(Config, log))
        {
            Break(ChainFault.DirtyLogTooSmall);
        }
    }
}
