using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Paravane.VirtioQueues.Inflight;

/// <summary>Stores into a record of requests in flight. Each is a release store: a successor finds them in the order of the program, wherever this process died.</summary>
internal static class InflightStore
{
    [ThreadStatic]
    private static Action? s_beforeStore;

    /// <summary>Called before each store that a successor can see, in debug builds. Tests end the device's life there by throwing.</summary>
    public static Action? BeforeStore
    {
        set => s_beforeStore = value;
    }

    /// <summary>A place where dying leaves something to repair: before a store that a successor can see.</summary>
    [Conditional("DEBUG")]
    public static void CrashPoint() => s_beforeStore?.Invoke();

    /// <summary>Stores one byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ref byte field, byte value)
    {
        CrashPoint();
        Volatile.Write(ref field, value);
    }

    /// <summary>Stores two bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ref ushort field, ushort value)
    {
        CrashPoint();
        Volatile.Write(ref field, value);
    }

    /// <summary>Stores eight bytes, none without the others.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ref ulong field, ulong value)
    {
        CrashPoint();
        Volatile.Write(ref field, value);
    }
}
