using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.Backends.Net.Tests;

/// <summary>Runs the header rules on one frame of the given length.</summary>
internal static class HeaderCheck
{
    public static Drop Run(ref NetHeader header, uint frameBytes, ulong features)
    {
        features |= VirtioFeatures.Version1;
        using var arena = new GuestArena(1 << 20);
        DriverRingConfig config = DriverRingConfig.Lay(arena.Table, arena.Allocate(DriverRingConfig.BytesNeeded(4, features)), 4, features);
        SplitDriver driver = SplitDriver.Open(config);
        using var queue = new Virtqueue<SplitRing>(config.ToQueueConfig(), arena.Table);
        var buffer = new DriverBuffer(arena.Allocate(NetHeader.SizeBytes + frameBytes), NetHeader.SizeBytes + frameBytes);
        arena.Write(buffer.Address, System.Runtime.InteropServices.MemoryMarshal.AsBytes(new ReadOnlySpan<NetHeader>(in header)));
        Assert.True(driver.TryAdd([buffer], 1, 0));
        driver.Publish();
        Assert.Equal(1, queue.Fill(1));
        return new HeaderRules(features).Read(queue.Peek(0).Readable, FrameLimits.MaxBytes, out header);
    }
}
