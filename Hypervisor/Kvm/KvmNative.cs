using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <summary>The system calls of the KVM layer.</summary>
/// <remarks>None of them suppresses the collector's transition: a collection must be able to go on while a vCPU is in KVM_RUN.</remarks>
internal static unsafe partial class KvmNative
{
    /// <summary><c>ioctl(2)</c>. The argument is as wide as a register: some requests take an address by value.</summary>
    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Ioctl(int fd, nuint request, nuint argument);

    /// <summary><c>sigaction(2)</c> with the C library's structure.</summary>
    [LibraryImport("libc", EntryPoint = "sigaction", SetLastError = true)]
    public static partial int SignalAction(int signal, void* action, void* previous);

    /// <summary><c>tgkill(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "tgkill", SetLastError = true)]
    public static partial int ThreadKill(int process, int thread, int signal);

    /// <summary><c>gettid(2)</c>.</summary>
    [LibraryImport("libc", EntryPoint = "gettid")]
    public static partial int CurrentThread();

    /// <summary>A request that must succeed.</summary>
    /// <param name="file">KVM, a VM or a vCPU.</param>
    /// <param name="request">One of <see cref="Abi.KvmIoctl"/>.</param>
    /// <param name="argument">Address of its structure.</param>
    /// <param name="name">KVM's name of the request, for the message.</param>
    /// <returns>What the kernel returned.</returns>
    /// <exception cref="LinuxException">It failed.</exception>
    public static int Call(FileDescriptor file, uint request, void* argument, string name) => Call(file, request, (nuint)argument, name);

    /// <summary>As <see cref="Call(FileDescriptor, uint, void*, string)"/>, with an argument by value.</summary>
    /// <exception cref="LinuxException">It failed.</exception>
    public static int Call(FileDescriptor file, uint request, nuint argument, string name) =>
        FileDescriptor.Check(Ioctl(file.Number, request, argument), name);
}
