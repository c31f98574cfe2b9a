namespace Paravane.VirtioQueues.Linux;

/// <summary><c>RWF_*</c> flags of one transfer.</summary>
[Flags]
public enum TransferModes
{
    /// <summary>As the file was opened.</summary>
    None = 0,

    /// <summary><c>RWF_DSYNC</c>: durable before it completes.</summary>
    DataSync = 2,

    /// <summary><c>RWF_NOWAIT</c>: fail with EAGAIN rather than wait for a device.</summary>
    NoWait = 8,
}
