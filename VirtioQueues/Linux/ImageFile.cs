using System.Runtime.CompilerServices;
using System.Text;
using Paravane.VirtioQueues.Memory;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>A disk image or block device, opened for positional I/O straight into guest pages.</summary>
/// <remarks>Any thread. Transfers are single system calls: they may be short, and return a negative error number instead of throwing.</remarks>
public sealed unsafe class ImageFile : FileDescriptor
{
    /// <summary>Pieces handed to one call: a longer list makes a short transfer. IOV_MAX is 1024; 256 keep the array on the stack at 4 KiB.</summary>
    private const int MaxPieces = 256;

    private const int ReadOnlyFlag = 0, ReadWriteFlag = 2, CloseOnExecFlag = 0x80000, NonBlockFlag = 0x800; // O_*
    private const int SeekEnd = 2, EmptyPath = 0x1000; // SEEK_END, AT_EMPTY_PATH
    private const uint DirectIoAlignment = 0x2000; // STATX_DIOALIGN
    private const int SetLock = 37; // F_OFD_SETLK
    private const short ReadLock = 0, WriteLock = 1; // F_RDLCK, F_WRLCK

    /// <summary>The byte that stands for the whole image: behind every image's end, and far from bytes 100 to 203, by which QEMU's block layer tells its users apart.</summary>
    private const long LockedByte = 1L << 62;

    private const nuint SectorSizeIoctl = 0x1268, PhysicalSizeIoctl = 0x127b; // BLKSSZGET, BLKPBSZGET

    private ImageFile(int fd)
        : base(fd)
    {
    }

    /// <summary>What the kernel says of the file.</summary>
    public FileStatus Status { get; private set; }

    /// <summary>Length in bytes, of block devices too.</summary>
    public ulong LengthBytes { get; private set; }

    /// <summary>Opened with <c>O_DIRECT</c>.</summary>
    public bool IsDirect { get; private set; }

    /// <summary>Direct I/O: what addresses of buffers must be multiples of. 1 otherwise.</summary>
    public uint MemoryAlignmentBytes { get; private set; } = 1;

    /// <summary>Direct I/O: what positions and lengths must be multiples of. 1 otherwise.</summary>
    public uint PositionAlignmentBytes { get; private set; } = 1;

    /// <summary>Block size that the medium works in: of a device its physical block, of a file the file system's block.</summary>
    public uint PhysicalBlockBytes { get; private set; } = 4096;

    private static int DirectFlag => System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture
        is System.Runtime.InteropServices.Architecture.Arm64 or System.Runtime.InteropServices.Architecture.Arm ? 0x10000 : 0x4000;

    /// <summary>Opens <paramref name="path"/>. With <paramref name="writable"/> false the descriptor itself cannot write.</summary>
    /// <exception cref="LinuxException">It cannot be opened that way.</exception>
    public static ImageFile Open(string path, bool writable, bool direct)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        byte[] name = Encoding.UTF8.GetBytes(path + "\0");
        int flags = (writable ? ReadWriteFlag : ReadOnlyFlag) | CloseOnExecFlag | NonBlockFlag | (direct ? DirectFlag : 0);
        int fd;
        fixed (byte* pointer = name)
        {
            fd = Check(Native.Open(pointer, flags, 0), "open", path);
        }

        var file = new ImageFile(fd) { IsDirect = direct };
        try
        {
            // O_NONBLOCK kept open(2) from waiting on a FIFO; on a file it would make io_uring give up where it should wait.
            Check(LibC.fcntl(fd, LibC.F_SETFL, Check(LibC.fcntl(fd, LibC.F_GETFL), "fcntl") & ~NonBlockFlag), "fcntl");
            file.Inspect();
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Tries to lock the image, for this open file alone or with others that read only. The lock goes with the file, at the latest when the process dies.</summary>
    /// <returns>0; EAGAIN while another one's lock is in the way; or why the file system has no locks.</returns>
    public int TryLock(bool shared)
    {
        var range = new FileLock { Type = shared ? ReadLock : WriteLock, Start = LockedByte, LengthBytes = 1 };
        return Native.FileControl(Number, SetLock, &range) == 0 ? 0 : Errno.Last is var errno && errno == Errno.EACCES ? Errno.EAGAIN : errno;
    }

    /// <summary>Reads once into <paramref name="target"/> from its byte <paramref name="offset"/> on.</summary>
    /// <returns>Bytes read, at most <paramref name="lengthBytes"/>, 0 at the end of the file; or a negative error number.</returns>
    [SkipLocalsInit]
    public int Read(BufferList target, uint offset, uint lengthBytes, ulong position, TransferModes modes)
    {
        GuestBuffer* pieces = stackalloc GuestBuffer[MaxPieces];
        int count = target.Slice(offset, lengthBytes, pieces, MaxPieces);
        nint result;
        while ((result = Native.PReadV2(Number, pieces, count, (long)position, (int)modes)) < 0)
        {
            int errno = Errno.Last;
            if (errno != Errno.EINTR)
            {
                return -errno;
            }
        }

        return (int)result;
    }

    /// <summary>Writes once from <paramref name="source"/>, from its byte <paramref name="offset"/> on.</summary>
    /// <returns>Bytes written, at most <paramref name="lengthBytes"/>; or a negative error number.</returns>
    [SkipLocalsInit]
    public int Write(BufferList source, uint offset, uint lengthBytes, ulong position, TransferModes modes)
    {
        GuestBuffer* pieces = stackalloc GuestBuffer[MaxPieces];
        int count = source.Slice(offset, lengthBytes, pieces, MaxPieces);
        nint result;
        while ((result = Native.PWriteV2(Number, pieces, count, (long)position, (int)modes)) < 0)
        {
            int errno = Errno.Last;
            if (errno != Errno.EINTR)
            {
                return -errno;
            }
        }

        return (int)result;
    }

    /// <summary><c>fdatasync</c>: all completed writes, by whatever descriptor, reach stable storage.</summary>
    /// <returns>0, or a negative error number.</returns>
    public int DataSync()
    {
        while (Native.FileDataSync(Number) < 0)
        {
            int errno = Errno.Last;
            if (errno != Errno.EINTR)
            {
                return -errno;
            }
        }

        return 0;
    }

    /// <summary><c>fallocate</c> on a range.</summary>
    /// <returns>0, or a negative error number (EOPNOTSUPP where the file system cannot).</returns>
    public int Allocate(AllocateMode mode, ulong position, ulong lengthBytes)
    {
        while (Native.FileAllocate(Number, (int)mode, (long)position, (long)lengthBytes) < 0)
        {
            int errno = Errno.Last;
            if (errno != Errno.EINTR)
            {
                return -errno;
            }
        }

        return 0;
    }

    private void Inspect()
    {
        Status = FileStatus.Of(this);
        LengthBytes = Status.SizeBytes;
        PhysicalBlockBytes = (uint)Math.Clamp(Status.BlockSizeBytes, 512, 4096);
        if (Status.IsBlockDevice)
        {
            long end = Native.Seek(Number, 0, SeekEnd);
            LengthBytes = (ulong)Check64(end, "lseek");
            int logical = 512;
            int physical = 512;
            _ = Native.Ioctl(Number, SectorSizeIoctl, &logical);
            _ = Native.Ioctl(Number, PhysicalSizeIoctl, &physical);
            PhysicalBlockBytes = (uint)physical;
            if (IsDirect)
            {
                MemoryAlignmentBytes = PositionAlignmentBytes = (uint)logical;
            }
        }
        else if (IsDirect)
        {
            InspectDirect();
        }
    }

    /// <summary>Asks a file for its direct I/O alignment; kernels before 6.1 do not say, and 4096 is right for every file system then.</summary>
    private void InspectDirect()
    {
        byte* buffer = stackalloc byte[256];
        byte empty = 0;
        MemoryAlignmentBytes = PositionAlignmentBytes = 4096;
        if (Native.StatX(Number, &empty, EmptyPath, DirectIoAlignment, buffer) == 0 && (*(uint*)buffer & DirectIoAlignment) != 0)
        {
            // struct statx: stx_dio_mem_align at 152, stx_dio_offset_align at 156; 0 means that the file refuses direct I/O.
            uint memory = *(uint*)(buffer + 152);
            uint position = *(uint*)(buffer + 156);
            if (memory != 0 && position != 0)
            {
                MemoryAlignmentBytes = memory;
                PositionAlignmentBytes = position;
            }
        }
    }

    private static long Check64(long result, string call) => result >= 0 ? result : throw new LinuxException(Errno.Last, call);
}
