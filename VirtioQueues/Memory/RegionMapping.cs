using Paravane.VirtioQueues.Linux;

namespace Paravane.VirtioQueues.Memory;

/// <summary>The mapping behind one region, shared by all the tables that contain the region and unmapped with the last of them.</summary>
/// <remarks>Any thread; counting is atomic.</remarks>
internal sealed class RegionMapping(Mapping mapping)
{
    private int _tables;

    /// <summary>The mapped range.</summary>
    public Mapping Mapping { get; } = mapping;

    /// <summary>Called once by each table that takes the region in.</summary>
    public void Acquire() => Interlocked.Increment(ref _tables);

    /// <summary>Called once by each table that is let go.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _tables) == 0)
        {
            Mapping.Dispose();
        }
    }
}
