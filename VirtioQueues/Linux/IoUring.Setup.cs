using static Paravane.VirtioQueues.Linux.IoUringAbi;

namespace Paravane.VirtioQueues.Linux;

/// <content>Opening: the best set of flags that the kernel takes, the shared rings, the file, the registered ring.</content>
public sealed unsafe partial class IoUring
{
    private const uint BestFlags = CqSize | Clamp | SubmitAll | SingleIssuer | DeferTaskRun | TaskRunFlag | NoSqArray;

    /// <summary>Flag sets from the best to the least, newest flags given up first. A kernel refuses a set with a flag it does not know.</summary>
    private static readonly uint[] s_flagSets =
    [
        BestFlags,
        BestFlags & ~NoSqArray,
        CqSize | Clamp | SubmitAll | SingleIssuer | CoopTaskRun | TaskRunFlag,
        CqSize | Clamp | SubmitAll | CoopTaskRun | TaskRunFlag,
        CqSize | Clamp | SubmitAll,
        CqSize | Clamp,
    ];

    private IoUring(int fd, Params setup, int file, byte sqeFlags)
        : base(fd)
    {
        _file = file;
        _sqeFlags = sqeFlags;
        _enterFd = fd;
        SetupFlags = setup.Flags;
        _sqEntries = setup.SqEntries;
        nuint sqBytes = setup.Sq.Array + (setup.SqEntries * sizeof(uint)), cqBytes = setup.Cq.Cqes + (setup.CqEntries * (nuint)sizeof(Cqe));
        try
        {
            _wake = new EventFd();
            _ring = Mapping.OfFile(this, 0, Math.Max(sqBytes, cqBytes), populate: true);
            _sqeMapping = Mapping.OfFile(this, OffsetOfSqes, setup.SqEntries * (nuint)sizeof(Sqe), populate: true);
            _arena = Mapping.Anonymous(ArenaPieces * (nuint)sizeof(Memory.GuestBuffer));
        }
        catch
        {
            Dispose();
            throw;
        }

        // SAFETY: offsets come from the kernel, for the mapping made of them.
        byte* ring = _ring.Address;
        _sqHead = (uint*)(ring + setup.Sq.Head);
        _sqTail = (uint*)(ring + setup.Sq.Tail);
        _sqFlags = (uint*)(ring + setup.Sq.Flags);
        _sqMask = *(uint*)(ring + setup.Sq.RingMask);
        _cqHead = (uint*)(ring + setup.Cq.Head);
        _cqTail = (uint*)(ring + setup.Cq.Tail);
        _cqFlags = setup.Cq.Flags != 0 ? (uint*)(ring + setup.Cq.Flags) : null;
        _cqMask = *(uint*)(ring + setup.Cq.RingMask);
        _cqes = (Cqe*)(ring + setup.Cq.Cqes);
        _sqes = (Sqe*)_sqeMapping.Address;
        if ((setup.Flags & NoSqArray) == 0)
        {
            // The index array is a detour nobody needs: entry i stands at place i for ever.
            uint* array = (uint*)(ring + setup.Sq.Array);
            for (uint i = 0; i < setup.SqEntries; i++)
            {
                array[i] = i;
            }
        }
    }

    /// <summary><c>IORING_SETUP_*</c> flags in force, for diagnosis.</summary>
    public uint SetupFlags { get; }

    /// <summary>Opens a ring for operations on <paramref name="file"/>, which must stay open.</summary>
    /// <param name="file">Made a fixed file where the kernel takes one.</param>
    /// <param name="operations">Most operations in flight; sizes the completion ring, so that it never overflows.</param>
    /// <param name="obstacle">Why there is no ring: the call, the error, and a setting that may be the reason.</param>
    /// <returns>Null when the kernel refuses io_uring, or is too old for what is needed.</returns>
    public static IoUring? TryOpen(FileDescriptor file, int operations, out string obstacle) =>
        TryOpen(file, operations, uint.MaxValue, out obstacle);

    /// <summary>Says why this kernel gives no ring to this process.</summary>
    /// <returns>Null when it does.</returns>
    public static string? FindObstacle(FileDescriptor file)
    {
        using IoUring? ring = TryOpen(file, 1, out string obstacle);
        return ring is null ? obstacle : null;
    }

    /// <summary>As <see cref="TryOpen(FileDescriptor, int, out string)"/>, on a kernel that knows only <paramref name="known"/> flags.</summary>
    internal static IoUring? TryOpen(FileDescriptor file, int operations, uint known, out string obstacle)
    {
        ArgumentNullException.ThrowIfNull(file);
        Params setup = default;
        int errno = Errno.EINVAL;
        foreach (uint flags in s_flagSets)
        {
            if ((flags & ~known) != 0)
            {
                continue;
            }

            setup = new Params { Flags = flags, CqEntries = Math.Max(2 * SubmissionEntries, (uint)operations) };
            int fd = (int)Native.Syscall(SetupCall, (nint)SubmissionEntries, (nint)(&setup));
            if (fd >= 0)
            {
                return Open(fd, setup, file, out obstacle);
            }

            errno = Errno.Last;
            if (errno != Errno.EINVAL)
            {
                break;
            }
        }

        obstacle = new LinuxException(errno, "io_uring_setup").Message + ExplainRefusal(errno);
        return null;
    }

    private static IoUring? Open(int fd, Params setup, FileDescriptor file, out string obstacle)
    {
        int number = file.Number;
        const uint needed = FeatureSingleMap | FeatureNoDrop | FeatureSubmitStable;
        if ((setup.Features & needed) != needed || !Knows(fd, FAllocate) || !Knows(fd, Write))
        {
            new FileDescriptor(fd).Dispose();
            obstacle = "io_uring of this kernel lacks operations that came with Linux 5.6";
            return null;
        }

        // A fixed file saves a look-up in the process's table for each operation.
        bool isFixed = Native.Syscall(RegisterCall, fd, (nint)RegisterFiles, (nint)(&number), 1) == 0;
        try
        {
            var ring = new IoUring(fd, setup, isFixed ? 0 : file.Number, isFixed ? FixedFile : (byte)0);
            ring.RegisterRing();
            ring.RegisterWake();
            obstacle = string.Empty;
            return ring;
        }
        catch (LinuxException failure)
        {
            obstacle = failure.Message;
            return null;
        }
    }

    private static bool Knows(int fd, byte opcode)
    {
        // struct io_uring_probe: last_op, ops_len, 14 bytes; then 8 bytes an operation: op, resv, flags (bit 0: supported), resv.
        const int operations = 64;
        byte* probe = stackalloc byte[16 + (8 * operations)];
        new Span<byte>(probe, 16 + (8 * operations)).Clear();
        return Native.Syscall(RegisterCall, fd, (nint)RegisterProbe, (nint)probe, operations) == 0
            && probe[0] >= opcode && (*(ushort*)(probe + 16 + (8 * opcode) + 2) & 1) != 0;
    }

    private static string ExplainRefusal(int errno)
    {
        if (errno == Errno.ENOSYS)
        {
            return "; this kernel was built without it";
        }

        const string setting = "/proc/sys/kernel/io_uring_disabled";
        try
        {
            return File.ReadAllText(setting).Trim() is { } value && value != "0" ? $"; sysctl kernel.io_uring_disabled is {value}" : string.Empty;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return string.Empty;
        }
    }

    /// <summary>Saves the look-up of the ring itself at each entry. A thread may have 16 of them; further rings do without.</summary>
    private void RegisterRing()
    {
        var update = new RingUpdate { Offset = uint.MaxValue, Data = (ulong)Number };
        if (Native.Syscall(RegisterCall, Number, (nint)RegisterRingFds, (nint)(&update), 1) == 1)
        {
            _enterFd = (int)update.Offset;
            _enterFlags = EnterRegisteredRing;
        }
    }

    private void RegisterWake()
    {
        int wake = _wake.Number;
        Check((int)Native.Syscall(RegisterCall, Number, (nint)RegisterEventFd, (nint)(&wake), 1), "io_uring_register");
        _isArmed = true;
        Disarm();
    }

    private void UnregisterRing()
    {
        if (_enterFlags != 0)
        {
            var update = new RingUpdate { Offset = (uint)_enterFd };
            _ = Native.Syscall(RegisterCall, Number, (nint)UnregisterRingFds, (nint)(&update), 1);
            _enterFlags = 0;
            _enterFd = Number;
        }
    }
}
