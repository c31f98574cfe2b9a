using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Linux;

/// <summary>Numbers and layouts of <c>linux/io_uring.h</c>, as far as they are used here.</summary>
internal static class IoUringAbi
{
    public const nint SetupCall = 425, EnterCall = 426, RegisterCall = 427; // the same on every architecture

    // IORING_SETUP_*, with the kernel that brought each.
    public const uint CqSize = 1 << 3; // 5.5
    public const uint Clamp = 1 << 4; // 5.6
    public const uint SubmitAll = 1 << 7; // 5.18
    public const uint CoopTaskRun = 1 << 8; // 5.19
    public const uint TaskRunFlag = 1 << 9; // 5.19
    public const uint SingleIssuer = 1 << 12; // 6.0
    public const uint DeferTaskRun = 1 << 13; // 6.1
    public const uint NoSqArray = 1 << 16; // 6.6

    public const uint FeatureSingleMap = 1 << 0, FeatureNoDrop = 1 << 1, FeatureSubmitStable = 1 << 2; // IORING_FEAT_*, all since 5.5

    public const uint EnterGetEvents = 1 << 0, EnterRegisteredRing = 1 << 4; // IORING_ENTER_*

    public const uint SqCqOverflow = 1 << 1, SqTaskRun = 1 << 2; // IORING_SQ_*

    public const uint CqEventFdDisabled = 1 << 0; // IORING_CQ_EVENTFD_DISABLED

    // IORING_REGISTER_*
    public const uint RegisterFiles = 2, RegisterEventFd = 4, RegisterProbe = 8, RegisterBuffers2 = 15, RegisterBuffersUpdate = 16, RegisterRingFds = 20, UnregisterRingFds = 21;
    public const uint Sparse = 1; // IORING_RSRC_REGISTER_SPARSE

    public const ulong OffsetOfSqes = 0x1000_0000; // IORING_OFF_SQES

    public const byte FixedFile = 1; // IOSQE_FIXED_FILE
    public const uint FsyncDataSync = 1; // IORING_FSYNC_DATASYNC

    // IORING_OP_*
    public const byte ReadV = 1, WriteV = 2, FSync = 3, ReadFixed = 4, WriteFixed = 5, FAllocate = 17, Read = 22, Write = 23;

    /// <summary><c>struct io_uring_params</c>. 120 bytes.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 120)]
    public struct Params
    {
        public uint SqEntries, CqEntries, Flags, SqThreadCpu, SqThreadIdle, Features, WorkQueueFd, Reserved0, Reserved1, Reserved2;
        public SqOffsets Sq;
        public CqOffsets Cq;
    }

    /// <summary><c>struct io_sqring_offsets</c>. 40 bytes.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 40)]
    public struct SqOffsets
    {
        public uint Head, Tail, RingMask, RingEntries, Flags, Dropped, Array, Reserved;
        public ulong UserAddress;
    }

    /// <summary><c>struct io_cqring_offsets</c>. 40 bytes.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 40)]
    public struct CqOffsets
    {
        public uint Head, Tail, RingMask, RingEntries, Overflow, Cqes, Flags, Reserved;
        public ulong UserAddress;
    }

    /// <summary><c>struct io_uring_sqe</c>. 64 bytes.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 64)]
    public struct Sqe
    {
        public byte Opcode;
        public byte Flags;
        public ushort IoPriority;
        public int Fd;
        public ulong Offset;
        public ulong Address;
        public uint Length;
        public uint OperationFlags;
        public ulong UserData;
        public ushort BufferIndex;
        public ushort Personality;
        public uint FileIndex;
        public ulong Address3;
        public ulong Padding;
    }

    /// <summary><c>struct io_uring_cqe</c>. 16 bytes.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 16)]
    public struct Cqe
    {
        public ulong UserData;
        public int Result;
        public uint Flags;
    }

    /// <summary><c>struct io_uring_rsrc_register</c>. 32 bytes.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 32)]
    public struct ResourceRegister
    {
        public uint Count, Flags;
        public ulong Reserved, Data, Tags;
    }

    /// <summary><c>struct io_uring_rsrc_update2</c>. 32 bytes.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 32)]
    public struct ResourceUpdate
    {
        public uint Offset, Reserved;
        public ulong Data, Tags;
        public uint Count, Reserved2;
    }

    /// <summary><c>struct io_uring_rsrc_update</c>, for ring descriptors. 16 bytes.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 16)]
    public struct RingUpdate
    {
        public uint Offset, Reserved;
        public ulong Data;
    }
}
