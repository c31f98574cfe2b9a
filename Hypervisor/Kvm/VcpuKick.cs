using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <summary>The signal that takes a vCPU's thread out of KVM_RUN.</summary>
/// <remarks>
/// It only has to interrupt a system call, so its handler does nothing; and it must be native, since managed code cannot run inside a signal.
/// The runtime has the first real-time signal (34, it suspends threads with it) and may claim the next.
/// </remarks>
internal static unsafe class VcpuKick
{
    /// <summary>SIGRTMIN + 2.</summary>
    public const int Signal = 36;

    /// <summary>Size of <c>struct sigaction</c> (glibc, x86-64): handler at 0, mask of 128 bytes at 8, flags at 136, restorer at 144.</summary>
    private const int ActionBytes = 152;

    /// <summary>Lets the signal interrupt system calls of this process from now on. May be called again.</summary>
    /// <exception cref="LinuxException">The signal cannot be taken.</exception>
    public static void Install()
    {
        // Flags stay 0: with SA_RESTART the kernel would go back into KVM_RUN by itself.
        byte* action = stackalloc byte[ActionBytes];
        new Span<byte>(action, ActionBytes).Clear();
        *(nint*)action = NativeLibrary.GetExport(NativeLibrary.Load("libc"), "getpid");
        FileDescriptor.Check(KvmNative.SignalAction(Signal, action, null), "sigaction");
    }

    /// <summary>Interrupts thread <paramref name="thread"/>, which must be one of this process and alive.</summary>
    public static void Send(int thread) => _ = KvmNative.ThreadKill(Environment.ProcessId, thread, Signal);
}
