using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Paravane.VirtioQueues.Driver;

/// <summary>What a driver remembers of one head or buffer id, privately: nothing of it is ever read back from memory that the device can write. 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal struct DriverChain
{
    /// <summary>Free, or not the head of a chain: 0, the state of fresh memory.</summary>
    public const ushort Free = 0;

    /// <summary>Added; the device may complete it.</summary>
    public const ushort Offered = 1;

    /// <summary>Collected by <see cref="IDriverRing{TSelf}.TakeUsedBurst"/> and not given back.</summary>
    public const ushort Held = 2;

    /// <summary>Most that the device may report as written.</summary>
    public uint WritableBytes;

    /// <summary>Packed: length of the chain's only ring descriptor in bytes.</summary>
    public uint Len;

    /// <summary>The caller's.</summary>
    public ushort Cookie;

    /// <summary>Ring descriptors of the chain.</summary>
    public ushort Descriptors;

    /// <summary><see cref="Free"/>, <see cref="Offered"/> or <see cref="Held"/>.</summary>
    public ushort State;

    /// <summary>Split: the descriptor behind this one in its chain. Packed: flags of the chain's only ring descriptor, without AVAIL and USED.</summary>
    public ushort NextOrFlags;

    /// <summary>The used length to believe: nothing counts for a chain without a writable part, since devices in the field report lengths there.</summary>
    public readonly bool Accepts(ref uint writtenBytes)
    {
        if (writtenBytes <= WritableBytes)
        {
            return true;
        }

        writtenBytes = 0;
        return WritableBytes == 0;
    }

    [DoesNotReturn]
    public static void ThrowNotHeld(UsedChain chain) => throw new ArgumentException($"chain {chain.Id} is not held, or has several ring descriptors", nameof(chain));

    [DoesNotReturn]
    public static void ThrowShape(int buffers, int readableCount, int max) =>
        throw new ArgumentException($"{buffers} buffers, {readableCount} of them readable: a chain of this ring has 1 to {max}");
}
