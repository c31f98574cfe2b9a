using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>What <c>fstat</c> and <c>fstatfs</c> say of an open file.</summary>
public readonly unsafe record struct FileStatus
{
    private const uint TypeMask = 0xf000, Regular = 0x8000, Directory = 0x4000, BlockDevice = 0x6000, Fifo = 0x1000, Socket = 0xc000;
    private const long HugetlbfsMagic = 0x958458f6, TmpfsMagic = 0x01021994, RamfsMagic = 0x858458f6;

    private FileStatus(ulong device, ulong inode, uint mode, ulong sizeBytes, ulong blockSizeBytes, long fileSystem)
    {
        Device = device;
        Inode = inode;
        Mode = mode;
        SizeBytes = sizeBytes;
        BlockSizeBytes = blockSizeBytes;
        FileSystem = fileSystem;
    }

    /// <summary><c>st_dev</c>; with <see cref="Inode"/> it tells files apart.</summary>
    public ulong Device { get; }

    /// <summary><c>st_ino</c>.</summary>
    public ulong Inode { get; }

    /// <summary><c>st_mode</c>.</summary>
    public uint Mode { get; }

    /// <summary><c>st_size</c> in bytes; 0 for a block device.</summary>
    public ulong SizeBytes { get; }

    /// <summary><c>st_blksize</c> in bytes; for huge page files the page size.</summary>
    public ulong BlockSizeBytes { get; }

    /// <summary><c>f_type</c> of the file system.</summary>
    public long FileSystem { get; }

    /// <summary>A regular file, which memfds are too.</summary>
    public bool IsRegular => (Mode & TypeMask) == Regular;

    /// <summary>A directory.</summary>
    public bool IsDirectory => (Mode & TypeMask) == Directory;

    /// <summary>A block device.</summary>
    public bool IsBlockDevice => (Mode & TypeMask) == BlockDevice;

    /// <summary>A pipe end.</summary>
    public bool IsFifo => (Mode & TypeMask) == Fifo;

    /// <summary>A socket.</summary>
    public bool IsSocket => (Mode & TypeMask) == Socket;

    /// <summary>An anonymous inode without a type: eventfd, epoll, io_uring and the like.</summary>
    public bool IsAnonymousInode => (Mode & TypeMask) == 0;

    /// <summary>Backed by huge pages.</summary>
    public bool IsHugePage => FileSystem == HugetlbfsMagic;

    /// <summary>Lives in memory (tmpfs, ramfs or huge pages), so that reading and writing never waits for a device.</summary>
    public bool IsInMemory => FileSystem is TmpfsMagic or RamfsMagic or HugetlbfsMagic;

    /// <summary>Asks the kernel about <paramref name="file"/>.</summary>
    /// <exception cref="LinuxException">The descriptor is closed.</exception>
    public static FileStatus Of(FileDescriptor file)
    {
        ArgumentNullException.ThrowIfNull(file);
        stat status;
        FileDescriptor.Check(LibC.fstat(file.Number, &status), "fstat");

        // struct statfs begins with f_type (a long) on every 64-bit architecture; 120 bytes in all.
        long* system = stackalloc long[32];
        system[0] = 0;
        _ = Native.FileSystemStatus(file.Number, system);
        return new FileStatus((ulong)status.st_dev, (ulong)status.st_ino, (uint)status.st_mode, (ulong)(long)status.st_size, (ulong)(long)status.st_blksize, system[0]);
    }
}
