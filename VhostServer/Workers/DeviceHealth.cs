using Paravane.VirtioQueues.Chains;

namespace Paravane.VhostServer.Workers;

/// <summary>Which rings of a device are broken. While one is, no ring of the device fetches anything (threats 3, BROKEN).</summary>
/// <remarks>Workers write, each for its own rings; any thread reads.</remarks>
internal sealed class DeviceHealth(int queueCount)
{
    private readonly int[] _faults = new int[queueCount];
    private int _brokenRings;

    /// <summary>True while any ring is broken.</summary>
    public bool IsBroken => Volatile.Read(ref _brokenRings) != 0;

    /// <summary>The fault of ring <paramref name="index"/>, or <see cref="ChainFault.None"/>.</summary>
    public ChainFault this[int index] => (ChainFault)Volatile.Read(ref _faults[index]);

    /// <summary>Records a fault, once per life of a ring.</summary>
    public void Break(int index, ChainFault fault)
    {
        Volatile.Write(ref _faults[index], (int)fault);
        Interlocked.Increment(ref _brokenRings);
    }

    /// <summary>A broken ring was stopped.</summary>
    public void Heal(int index)
    {
        Volatile.Write(ref _faults[index], (int)ChainFault.None);
        Interlocked.Decrement(ref _brokenRings);
    }
}
