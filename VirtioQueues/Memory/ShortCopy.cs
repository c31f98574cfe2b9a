using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Paravane.VirtioQueues.Memory;

/// <summary>Exact copies, quickest for the sizes that packets have. Never rounds a length up: the bytes behind a buffer are somebody else's.</summary>
internal static unsafe class ShortCopy
{
    /// <summary>Copies <paramref name="lengthBytes"/> bytes. The ranges may overlap only by a guest's own fault; the result is then the guest's problem.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(byte* to, byte* from, uint lengthBytes)
    {
        // Two overlapping halves cover every length in (half, 2 × half] with no loop and no byte too many.
        if (lengthBytes - 32 <= 32)
        {
            Vector256<byte> head = Vector256.Load(from), tail = Vector256.Load(from + lengthBytes - 32);
            head.Store(to);
            tail.Store(to + lengthBytes - 32);
        }
        else if (lengthBytes - 65 <= 63)
        {
            Vector256<byte> a = Vector256.Load(from), b = Vector256.Load(from + 32);
            Vector256<byte> c = Vector256.Load(from + lengthBytes - 64), d = Vector256.Load(from + lengthBytes - 32);
            a.Store(to);
            b.Store(to + 32);
            c.Store(to + lengthBytes - 64);
            d.Store(to + lengthBytes - 32);
        }
        else
        {
            Buffer.MemoryCopy(from, to, lengthBytes, lengthBytes);
        }
    }
}
