using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Block.Stores;

/// <summary>What all queues of one image share: fixed properties, and what was learned on the way.</summary>
internal sealed class FileMedium
{
    /// <summary>Kinds of <see cref="Failures"/>.</summary>
    private const int BadMedium = 0, NoSpace = 1, TooShort = 2, Other = 3, NoFlush = 4;

    private volatile bool _flushFailed;
    private volatile bool _cannotPunch;
    private volatile bool _cannotZeroRange;
    private volatile bool _cannotTryRead;
    private volatile bool _cannotTryWrite;

    /// <summary>Capacity in bytes.</summary>
    public required ulong LengthBytes { get; init; }

    /// <summary>Block size of the medium in bytes.</summary>
    public uint PhysicalBlockBytes { get; init; } = 4096;

    /// <summary>Lives in memory: nothing ever waits, so everything is done at once.</summary>
    public bool IsInMemory { get; init; }

    /// <summary>Direct I/O: what buffer addresses must be multiples of; 1: anything goes.</summary>
    public uint MemoryAlignmentBytes { get; init; } = 1;

    /// <summary>Direct I/O: what positions and lengths must be multiples of; 1: anything goes.</summary>
    public uint PositionAlignmentBytes { get; init; } = 1;

    /// <summary>Requests that failed here, by reason.</summary>
    public DeviceTroubles Failures { get; } = new(
        "requests that failed on the image",
        "with EIO (its medium)",
        "with ENOSPC (its file system is full)",
        "since it is shorter than the disk by now",
        "with another error",
        "being a flush, of which none succeeds any more: the kernel has dropped what it could not write");

    /// <summary>A flush failed: the kernel has dropped what it could not write and forgets the error, so no later flush may succeed (threats B9).</summary>
    public bool FlushFailed => _flushFailed;

    /// <summary>The file system has no holes.</summary>
    public bool CannotPunch => _cannotPunch;

    /// <summary>The file system cannot zero a range.</summary>
    public bool CannotZeroRange => _cannotZeroRange;

    /// <summary>Reads that must not wait are useless: not supported, or direct.</summary>
    public bool CannotTryRead => _cannotTryRead;

    /// <summary>Writes that must not wait are useless: not supported, or direct.</summary>
    public bool CannotTryWrite => _cannotTryWrite;

    /// <summary>Counts a request that failed with this error number, negative, or 0 where the image had no more bytes.</summary>
    public void CountFailure(int result) => Failures.Count(result switch
    {
        0 => TooShort,
        -Errno.EIO => BadMedium,
        -Errno.ENOSPC => NoSpace,
        _ => Other,
    });

    /// <summary>Counts a flush that cannot succeed.</summary>
    public void CountFailedFlush() => Failures.Count(NoFlush);

    /// <summary>Latches <see cref="FlushFailed"/>.</summary>
    public void LatchFlushFailure() => _flushFailed = true;

    /// <summary>Learns <see cref="CannotPunch"/>.</summary>
    public void ForgetPunch() => _cannotPunch = true;

    /// <summary>Learns <see cref="CannotZeroRange"/>.</summary>
    public void ForgetZeroRange() => _cannotZeroRange = true;

    /// <summary>Learns <see cref="CannotTryRead"/>.</summary>
    public void ForgetTryRead() => _cannotTryRead = true;

    /// <summary>Learns <see cref="CannotTryWrite"/>.</summary>
    public void ForgetTryWrite() => _cannotTryWrite = true;
}
