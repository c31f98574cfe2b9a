namespace Paravane.VirtioQueues.Linux;

/// <summary>A system call that failed: which one, with what errno, and on what path where there was one.</summary>
public sealed class LinuxException : IOException
{
    /// <summary>Creates the exception for <paramref name="call"/> failing with <paramref name="errno"/>.</summary>
    public LinuxException(int errno, string call, string? path = null)
        : base(Describe(errno, call, path))
    {
        Errno = errno;
        Call = call;
    }

    /// <summary>The error number, positive (<c>ENOENT</c> is 2).</summary>
    public int Errno { get; }

    /// <summary>Name of the system call.</summary>
    public string Call { get; }

    private static string Describe(int errno, string call, string? path)
    {
        string reason = $"{Linux.Errno.NameOf(errno)} ({Linux.Errno.TextOf(errno)})";
        return path is null ? $"{call}: {reason}" : $"{call} '{path}': {reason}";
    }
}
