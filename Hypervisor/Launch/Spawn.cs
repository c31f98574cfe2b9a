using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Launch;

/// <summary>The C library's <c>posix_spawn</c> family and what it takes to wait for its children. Results are error numbers, not −1 and errno.</summary>
internal static unsafe partial class Spawn
{
    /// <summary>Room for <c>posix_spawn_file_actions_t</c> (80 bytes) and for <c>posix_spawnattr_t</c> (336 bytes) of any C library.</summary>
    public const int OpaqueBytes = 512;

    /// <summary><c>POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK</c>.</summary>
    public const short OwnGroupAndDefaultSignals = 2 | 4 | 8;

    /// <summary><c>pidfd_open(2)</c>, the same number on every architecture.</summary>
    public const long PidFdOpen = 434;

    /// <summary><c>WNOHANG</c>.</summary>
    public const int NoHang = 1;

    /// <summary><c>posix_spawn(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn")]
    public static partial int Start(int* pid, byte* path, void* actions, void* attributes, byte** arguments, byte** environment);

    /// <summary><c>posix_spawn_file_actions_init(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_init")]
    public static partial int InitActions(void* actions);

    /// <summary><c>posix_spawn_file_actions_destroy(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_destroy")]
    public static partial int DestroyActions(void* actions);

    /// <summary><c>posix_spawn_file_actions_adddup2(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_adddup2")]
    public static partial int AddDup2(void* actions, int fd, int newFd);

    /// <summary><c>posix_spawn_file_actions_addclosefrom_np(3)</c>, glibc 2.34 and later.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addclosefrom_np")]
    public static partial int AddCloseFrom(void* actions, int firstFd);

    /// <summary><c>posix_spawnattr_init(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawnattr_init")]
    public static partial int InitAttributes(void* attributes);

    /// <summary><c>posix_spawnattr_destroy(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawnattr_destroy")]
    public static partial int DestroyAttributes(void* attributes);

    /// <summary><c>posix_spawnattr_setflags(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setflags")]
    public static partial int SetFlags(void* attributes, short flags);

    /// <summary><c>posix_spawnattr_setpgroup(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setpgroup")]
    public static partial int SetGroup(void* attributes, int group);

    /// <summary><c>posix_spawnattr_setsigdefault(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigdefault")]
    public static partial int SetDefaultSignals(void* attributes, void* signals);

    /// <summary><c>posix_spawnattr_setsigmask(3)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigmask")]
    public static partial int SetBlockedSignals(void* attributes, void* signals);

    /// <summary><c>waitpid(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "waitpid", SetLastError = true)]
    public static partial int Wait(int pid, int* status, int options);

    /// <summary><c>syscall(2)</c>, for <see cref="PidFdOpen"/>.</summary>
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial long Syscall(long number, long a, long b);
}
