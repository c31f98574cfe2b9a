using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Linux;

internal static unsafe partial class Native
{
    /// <summary><c>open(2)</c>; <paramref name="path"/> ends with a zero byte.</summary>
    [LibraryImport("libc", EntryPoint = "open", SetLastError = true)]
    public static partial int Open(byte* path, int flags, uint mode);

    /// <summary><c>preadv2(2)</c>: positional, vectored, with RWF_ flags.</summary>
    [LibraryImport("libc", EntryPoint = "preadv2", SetLastError = true)]
    public static partial nint PReadV2(int fd, void* pieces, int count, long position, int flags);

    /// <summary><c>pwritev2(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "pwritev2", SetLastError = true)]
    public static partial nint PWriteV2(int fd, void* pieces, int count, long position, int flags);

    /// <summary><c>fdatasync(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    public static partial int FileDataSync(int fd);

    /// <summary><c>fallocate(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    public static partial int FileAllocate(int fd, int mode, long position, long lengthBytes);

    /// <summary><c>lseek(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    public static partial long Seek(int fd, long offset, int whence);

    /// <summary><c>fcntl(2)</c> with a lock.</summary>
    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    public static partial int FileControl(int fd, int command, FileLock* range);

    /// <summary><c>ioctl(2)</c> with a pointer argument.</summary>
    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Ioctl(int fd, nuint request, void* argument);

    /// <summary><c>madvise(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    public static partial int MemoryAdvise(void* address, nuint lengthBytes, int advice);

    /// <summary><c>statx(2)</c>; <paramref name="buffer"/> has room for 256 bytes.</summary>
    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true)]
    public static partial int StatX(int directory, byte* path, int flags, uint mask, void* buffer);
}
