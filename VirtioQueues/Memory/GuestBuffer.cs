using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Memory;

/// <summary>A translated, checked piece of guest memory in this process. Same layout as <c>struct iovec</c>: 16 bytes.</summary>
/// <remarks>Lives only in scratch memory owned by a queue; devices see it as <see cref="GuestSlice"/> or <see cref="BufferList"/>.</remarks>
[StructLayout(LayoutKind.Sequential, Size = 16)]
public unsafe struct GuestBuffer
{
    /// <summary>First byte, inside one mapped region.</summary>
    internal byte* Host;

    /// <summary>Length in bytes; never reaches over the end of the region.</summary>
    internal nuint LengthBytes;
}
