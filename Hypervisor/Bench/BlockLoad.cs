using System.Diagnostics;
using System.Runtime.CompilerServices;
using Microsoft.Win32.SafeHandles;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Bench;

/// <summary>Keeps a block queue at a fixed depth, and with verification proves that every block holds what was written last.</summary>
/// <remarks>
/// Each slot owns a header, a status byte and a data buffer in guest memory. With verification a block has at most one request under way, so that
/// what a read must find is never in doubt.
/// </remarks>
internal sealed unsafe class BlockLoad<TRing> : IBlockLoad
    where TRing : struct, IDriverRing<TRing>
{
    /// <summary>Completions taken per turn.</summary>
    private const int MaxBurst = 64;

    /// <summary>Header and status byte of a slot share one cache line: the device fetches it once and gives it back with the status.</summary>
    private const int SlotStride = 64, StatusOffset = 32, HeaderBytes = 16;

    private const uint In = 0, Out = 1; // VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT
    private const byte NoStatus = 0xff;
    private const byte Poison = 0xa5;
    private const uint Unknown = uint.MaxValue;

    private readonly BlockLoadOptions _options;
    private readonly UsedChain[] _used = new UsedChain[MaxBurst];
    private readonly DriverBuffer[] _chain = new DriverBuffer[3];
    private readonly GuestArea _slots;
    private readonly GuestArea _data;
    private readonly long[] _submitted;
    private readonly ulong[] _block;
    private readonly bool[] _isWrite;
    private readonly bool[] _underWay;
    private readonly ulong _sectorsPerBlock;
    private readonly bool _reposts;

    /// <summary>Verification only: generation of each block's content, and blocks with a request under way.</summary>
    private readonly uint[] _generations = [];
    private readonly bool[] _busy = [];

    private TRing _ring;
    private XorShift _random;
    private Phase _phase;
    private ulong _cursor;
    private int _outstanding;
    private int _started;

    /// <summary>Opens the ring and lays the slots out.</summary>
    public BlockLoad(BlockLoadOptions options, DriverRingConfig ring, GuestRam ram)
    {
        _options = options;
        _ring = TRing.Open(ring);
        _slots = ram.Allocate((uint)(options.Depth * SlotStride), 128);
        _data = ram.Allocate(checked((uint)options.Depth * options.BlockBytes), 4096);
        _submitted = new long[options.Depth];
        _block = new ulong[options.Depth];
        _isWrite = new bool[options.Depth];
        _underWay = new bool[options.Depth];
        _sectorsPerBlock = options.BlockBytes / 512;
        _random = new XorShift(options.Seed ^ (options.FirstBlock * 0x9e37_79b9_7f4a_7c15));

        // With one kind of request and indirect tables a chain never changes, only the sector number in its header.
        _reposts = options.Indirect && !options.Verify && options.ReadPercent is 0 or 100;
        if (options.Verify)
        {
            _generations = new uint[options.BlockCount];
            _busy = new bool[options.BlockCount];
        }

        _phase = options.Verify ? Phase.Fill : Phase.Run;
    }

    private enum Phase
    {
        /// <summary>Writes every block once.</summary>
        Fill,

        /// <summary>The load proper.</summary>
        Run,

        /// <summary>Nothing new; waits for what is under way.</summary>
        Drain,

        /// <summary>Reads every block once and checks it.</summary>
        Sweep,

        /// <summary>All over.</summary>
        Done,
    }

    /// <inheritdoc/>
    public LoadCounters Counters { get; } = new();

    /// <inheritdoc/>
    public bool IsReady => Volatile.Read(ref Unsafe.As<Phase, int>(ref _phase)) >= (int)Phase.Run;

    /// <inheritdoc/>
    public string NotReady => "the disk could not be filled";

    /// <inheritdoc/>
    public bool IsDone => _phase == Phase.Done;

    /// <inheritdoc/>
    public IReadOnlyList<int> CallDescriptors => [_options.Call.Number];

    /// <inheritdoc/>
    public bool RunTurn()
    {
        int count = _ring.TakeUsedBurst(_used);
        if (count == 0)
        {
            return RunIdle();
        }

        // One clock reading a turn: what came back in this turn came back now, and what replaces it starts now.
        long now = Stopwatch.GetTimestamp();
        ReadOnlySpan<UsedChain> used = _used.AsSpan(0, count);
        foreach (ref readonly UsedChain chain in used)
        {
            int slot = chain.Cookie;
            Counters.Latency.Record(now - _submitted[slot]);
            Finish(slot);
        }

        Counters.Done += count;
        Counters.Bytes += count * _options.BlockBytes;
        _outstanding -= count;
        if (_phase == Phase.Run && _reposts)
        {
            foreach (ref readonly UsedChain chain in used)
            {
                Prepare(chain.Cookie, NextBlock(), _isWrite[chain.Cookie], now);
            }

            _ring.Repost(used);
            Publish(count);
            return true;
        }

        _ring.Release(used);
        int added = 0;
        foreach (ref readonly UsedChain chain in used)
        {
            added += TrySubmit(chain.Cookie, now) ? 1 : 0;
        }

        if (added > 0)
        {
            Publish(added);
        }

        return true;
    }

    /// <inheritdoc/>
    public bool TryArm() => _ring.TryArmCall();

    /// <inheritdoc/>
    public void Disarm() => _ring.DisarmCall();

    /// <inheritdoc/>
    public void BeginDrain()
    {
        if (_phase is Phase.Fill or Phase.Run)
        {
            if (_phase == Phase.Fill)
            {
                _cursor = 0; // stopped while preparing: not every block has a content to look for
            }

            SetPhase(Phase.Drain);
            AdvanceWhenIdle();
        }
    }

    /// <inheritdoc/>
    public void Abandon()
    {
        Counters.Lost += _outstanding;
        if (_outstanding > 0)
        {
            Counters.AddError($"{_options.Name}: {_outstanding} requests never came back");
        }

        SetPhase(Phase.Done);
    }

    /// <inheritdoc/>
    public string? FindMismatch(SafeFileHandle image)
    {
        byte[] data = new byte[_options.BlockBytes];
        for (ulong block = 0; block < (ulong)_generations.Length; block++)
        {
            if (_generations[block] is 0 or Unknown)
            {
                continue;
            }

            ulong sector = (_options.FirstBlock + block) * _sectorsPerBlock;
            int length = RandomAccess.Read(image, data, checked((long)(sector * 512)));
            int at = length < data.Length ? length : BlockPattern.FindMismatch(data, _options.Seed, sector, _generations[block]);
            if (at >= 0)
            {
                return $"sector {sector + ((ulong)at / 512)} of the image is wrong from byte {at % 512} on";
            }
        }

        return null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool RunIdle()
    {
        if (_ring.Fault != DriverFault.None && _phase != Phase.Done)
        {
            Counters.AddError($"{_options.Name}: the device broke the ring: {_ring.Fault}");
            Abandon();
            return false;
        }

        AdvanceWhenIdle();
        if (_outstanding == _options.Depth || _phase is Phase.Drain or Phase.Done || (_phase == Phase.Run && _started == _options.Depth))
        {
            return false;
        }

        // The queue is filled up: at the start of a phase, and after a phase ran out of blocks.
        long now = Stopwatch.GetTimestamp();
        int added = 0;
        for (int slot = 0; slot < _options.Depth; slot++)
        {
            added += !_underWay[slot] && TrySubmit(slot, now) ? 1 : 0;
        }

        _started = _phase == Phase.Run ? _options.Depth : 0;
        if (added > 0)
        {
            Publish(added);
        }

        return added > 0;
    }

    private void AdvanceWhenIdle()
    {
        if (_outstanding > 0)
        {
            return;
        }

        switch (_phase)
        {
            case Phase.Fill when _cursor == _options.BlockCount:
                _cursor = 0;
                SetPhase(Phase.Run);
                break;
            case Phase.Drain when _options.Verify && IsFilled():
                _cursor = 0;
                SetPhase(Phase.Sweep);
                break;
            case Phase.Drain:
            case Phase.Sweep when _cursor == _options.BlockCount:
                SetPhase(Phase.Done);
                break;
            default:
                break;
        }
    }

    private bool IsFilled() => Array.IndexOf(_generations, 0u) < 0;

    private void SetPhase(Phase phase) => Volatile.Write(ref Unsafe.As<Phase, int>(ref _phase), (int)phase);

    private void Publish(int added)
    {
        _outstanding += added;
        Counters.Sent += added;
        if (_ring.Publish())
        {
            _options.Kick.Signal();
        }
    }

    /// <summary>Looks at one completed request.</summary>
    private void Finish(int slot)
    {
        _underWay[slot] = false;
        byte status = Volatile.Read(ref _slots.Host[(slot * SlotStride) + StatusOffset]);
        if (status != 0 || _options.Verify)
        {
            FinishSlow(slot, status);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FinishSlow(int slot, byte status)
    {
        ulong block = _block[slot];
        ulong sector = (_options.FirstBlock + block) * _sectorsPerBlock;
        bool isWrite = _isWrite[slot];
        if (status != 0)
        {
            Counters.AddError($"{_options.Name}: {(isWrite ? "write" : "read")} of sector {sector}: {NameOf(status)}");
        }

        if (!_options.Verify)
        {
            return;
        }

        _busy[block] = false;
        ref uint generation = ref _generations[block];
        if (isWrite)
        {
            generation = status == 0 ? Next(generation) : Unknown;
        }
        else if (status == 0 && generation is not (0 or Unknown))
        {
            int at = BlockPattern.FindMismatch(DataOf(slot), _options.Seed, sector, generation);
            if (at < 0)
            {
                Counters.Verified++;
            }
            else
            {
                Counters.AddError(
                    $"{_options.Name}: sector {sector + ((ulong)at / 512)} is wrong from byte {at % 512} on: "
                    + $"not what write number {generation} of its block left there");
            }
        }
    }

    private bool TrySubmit(int slot, long now)
    {
        ulong block;
        bool isWrite;
        switch (_phase)
        {
            case Phase.Run:
                isWrite = _options.ReadPercent < 100 && (_options.ReadPercent == 0 || _random.Below(100) >= (ulong)_options.ReadPercent);
                block = NextBlock();
                break;
            case Phase.Fill or Phase.Sweep when _cursor < _options.BlockCount:
                isWrite = _phase == Phase.Fill;
                block = _cursor++;
                break;
            default:
                return false;
        }

        Prepare(slot, block, isWrite, now);
        if (_options.Verify)
        {
            PrepareData(slot, block, isWrite);
        }

        ulong header = _slots.Guest.Value + (ulong)(slot * SlotStride);
        var data = new DriverBuffer(new GuestAddress(_data.Guest.Value + ((ulong)slot * _options.BlockBytes)), _options.BlockBytes);
        _chain[0] = new DriverBuffer(new GuestAddress(header), HeaderBytes);
        _chain[1] = data;
        _chain[2] = new DriverBuffer(new GuestAddress(header + StatusOffset), 1);
        _underWay[slot] = _ring.TryAdd(_chain, isWrite ? 2 : 1, (ushort)slot, _options.Indirect);
        Debug.Assert(_underWay[slot], "the ring has room for three descriptors a slot");
        return _underWay[slot];
    }

    private void Prepare(int slot, ulong block, bool isWrite, long now)
    {
        byte* header = _slots.Host + (slot * SlotStride);
        uint type = isWrite ? Out : In;
        if (*(uint*)header != type)
        {
            *(uint*)header = type;
        }

        *(ulong*)(header + 8) = (_options.FirstBlock + block) * _sectorsPerBlock;
        header[StatusOffset] = NoStatus;
        _block[slot] = block;
        _isWrite[slot] = isWrite;
        _submitted[slot] = now;
        _underWay[slot] = true;
    }

    private void PrepareData(int slot, ulong block, bool isWrite)
    {
        _busy[block] = true;
        if (isWrite)
        {
            BlockPattern.Fill(DataOf(slot), _options.Seed, (_options.FirstBlock + block) * _sectorsPerBlock, Next(_generations[block]));
        }
        else
        {
            DataOf(slot).Fill(Poison); // what a device leaves alone must not look right
        }
    }

    private ulong NextBlock()
    {
        ulong block = _options.Random ? _random.Below(_options.BlockCount) : Advance();
        if (_options.Verify)
        {
            while (_busy[block])
            {
                block = block + 1 == _options.BlockCount ? 0 : block + 1;
            }
        }

        return block;
    }

    private ulong Advance()
    {
        ulong block = _cursor;
        _cursor = block + 1 == _options.BlockCount ? 0 : block + 1;
        return block;
    }

    private Span<byte> DataOf(int slot) => new(_data.Host + ((long)slot * _options.BlockBytes), (int)_options.BlockBytes);

    private static uint Next(uint generation) => generation >= Unknown - 1 ? 1 : generation + 1;

    private static string NameOf(byte status) => status switch
    {
        1 => "the device reports an I/O error (IOERR)",
        2 => "the device does not support it (UNSUPP)",
        NoStatus => "completed without a status",
        _ => $"unknown status {status}",
    };
}
