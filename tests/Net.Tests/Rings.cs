using Paravane.VirtioQueues.Spec;

namespace Paravane.Backends.Net.Tests;

/// <summary>What a test negotiates about its rings.</summary>
[Flags]
public enum Rings
{
    Plain = 0,
    Packed = 1,
    Mergeable = 2,
    InOrder = 4,
    EventIdx = 8,
}

internal static class RingsExtensions
{
    /// <summary>Every combination.</summary>
    public static TheoryData<Rings> All => [.. Enumerable.Range(0, 16).Select(value => (Rings)value)];

    /// <summary>Both formats, mergeable or not, notifications by event index.</summary>
    public static TheoryData<Rings> Formats => [.. new[] { Rings.Plain, Rings.Packed, Rings.Mergeable, Rings.Packed | Rings.Mergeable }.Select(value => value | Rings.EventIdx)];

    public static ulong ToFeatures(this Rings rings) => VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc
        | (rings.HasFlag(Rings.Packed) ? VirtioFeatures.RingPacked : 0)
        | (rings.HasFlag(Rings.Mergeable) ? NetFeatures.MrgRxBuf : 0)
        | (rings.HasFlag(Rings.InOrder) ? VirtioFeatures.InOrder : 0)
        | (rings.HasFlag(Rings.EventIdx) ? VirtioFeatures.EventIdx : 0);
}
