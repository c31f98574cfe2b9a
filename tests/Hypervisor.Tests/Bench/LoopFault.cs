namespace Paravane.Hypervisor.Tests.Bench;

/// <summary>What a <see cref="TinyLoop{TRing}"/> does wrong, once in a while.</summary>
public enum LoopFault
{
    None,
    FlipsABit,
    Loses,
    Doubles,
    Swaps,
    Cuts,
    SetsAFlag,
    PlugsInLate,
    IsNotPluggedIn,
}
