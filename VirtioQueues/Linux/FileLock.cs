using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Linux;

/// <summary><c>struct flock</c> of 64-bit machines: a range of a file and the kind of its lock. 32 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct FileLock
{
    /// <summary>F_RDLCK or F_WRLCK.</summary>
    [FieldOffset(0)]
    public short Type;

    /// <summary>First byte, counted from the start of the file; <c>l_whence</c> stays SEEK_SET and <c>l_pid</c> 0, as locks of an open file want it.</summary>
    [FieldOffset(8)]
    public long Start;

    /// <summary>Length in bytes.</summary>
    [FieldOffset(16)]
    public long LengthBytes;
}
