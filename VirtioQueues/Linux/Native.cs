using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Linux;

/// <summary>System calls that the C library binding lacks, by number. The numbers below are those of the generic table unless noted.</summary>
internal static partial class Native
{
    /// <summary><c>memfd_create</c>.</summary>
    public static readonly nint MemfdCreate = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 319 : 279;

    /// <summary><c>syscall(2)</c> with up to six arguments; the result is −1 on failure, with errno set.</summary>
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint Syscall(nint number, nint a = 0, nint b = 0, nint c = 0, nint d = 0, nint e = 0, nint f = 0);

    /// <summary><c>fstatfs(2)</c>; <paramref name="buffer"/> has room for 256 bytes.</summary>
    [LibraryImport("libc", EntryPoint = "fstatfs", SetLastError = true)]
    public static unsafe partial int FileSystemStatus(int fd, long* buffer);

    /// <summary><c>flock(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    public static partial int FileLock(int fd, int operation);

    /// <summary><c>prctl(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    public static partial int ProcessControl(int option, nuint a, nuint b, nuint c, nuint d);
}
