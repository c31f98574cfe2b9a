using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Linux;

/// <summary>A run of zeroes to write from. It costs no memory: every page is the kernel's zero page.</summary>
/// <remarks>Any thread; never written.</remarks>
public sealed unsafe class ZeroBuffer : IDisposable
{
    /// <summary>Length in bytes.</summary>
    public const uint LengthBytes = 1 << 20;

    private readonly Mapping _mapping = Mapping.Anonymous(LengthBytes);
    private GuestBuffer* _buffer;

    /// <summary>Reserves the range.</summary>
    /// <exception cref="LinuxException">No address space is left.</exception>
    public ZeroBuffer()
    {
        _buffer = (GuestBuffer*)NativeMemory.Alloc((nuint)sizeof(GuestBuffer));
        *_buffer = new GuestBuffer { Host = _mapping.Address, LengthBytes = LengthBytes };
    }

    /// <summary>The zeroes as one piece. Not to be written to.</summary>
    public BufferList List => new(_buffer, 1, LengthBytes);

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_buffer);
        _buffer = null;
        _mapping.Dispose();
    }
}
