namespace Paravane.VirtioQueues.Linux;

/// <summary>Kernel settings of this process.</summary>
public static class CurrentProcess
{
    private const int SetDumpable = 4; // PR_SET_DUMPABLE

    /// <summary>Keeps other processes of the same user from reading this one's memory and descriptors, and the kernel from dumping it (threats A8).</summary>
    public static void ForbidInspection() => _ = Native.ProcessControl(SetDumpable, 0, 0, 0, 0);
}
