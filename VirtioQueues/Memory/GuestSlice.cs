using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Paravane.VirtioQueues.Memory;

/// <summary>A checked piece of guest memory. Cannot be stored, boxed or captured, so none outlives its queue turn.</summary>
public readonly unsafe ref struct GuestSlice
{
    /// <summary>First byte. For the libraries only.</summary>
    internal readonly byte* Host;

    internal GuestSlice(byte* host, uint lengthBytes)
    {
        Host = host;
        LengthBytes = lengthBytes;
    }

    /// <summary>Length in bytes.</summary>
    public uint LengthBytes { get; }

    /// <summary>The bytes, for payload copies and system calls; never for fields the other side writes concurrently.</summary>
    public Span<byte> AsSpan() => new(Host, checked((int)LengthBytes));

    /// <summary>Snapshot of a wire struct at the beginning. Read once, used from the copy.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It would reach over the end.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>()
        where T : unmanaged
    {
        if (LengthBytes < (uint)sizeof(T))
        {
            ThrowRange();
        }

        return Unsafe.ReadUnaligned<T>(Host);
    }

    /// <summary>Writes a wire struct at the beginning.</summary>
    /// <returns>False when it would reach over the end; nothing was written then.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryWrite<T>(T value)
        where T : unmanaged
    {
        if (LengthBytes < (uint)sizeof(T))
        {
            return false;
        }

        Unsafe.WriteUnaligned(Host, value);
        return true;
    }

    /// <summary>Copies everything from <paramref name="offset"/> on to the same offset of <paramref name="target"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The offset is not inside, or the target is shorter; nothing was copied.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void CopyTo(GuestSlice target, uint offset)
    {
        if (offset > LengthBytes || LengthBytes > target.LengthBytes)
        {
            ThrowRange();
        }

        ShortCopy.Copy(target.Host + offset, Host + offset, LengthBytes - offset);
    }

    /// <summary>Brings the first two cache lines closer, as far as they are inside. No effect on what is read or written.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Prefetch()
    {
        const uint Line = 64;
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(Host);
            Sse.Prefetch0(Host + Math.Min(Line, LengthBytes));
        }
    }

    [DoesNotReturn]
    private static void ThrowRange() => throw new ArgumentOutOfRangeException(null, "the range is not inside the slice");
}
