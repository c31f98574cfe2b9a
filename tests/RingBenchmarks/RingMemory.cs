using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.RingBenchmarks;

/// <summary>Guest memory of one region, handed out piece by piece.</summary>
internal sealed class RingMemory : IDisposable
{
    private ulong _next;

    public RingMemory(ulong sizeBytes)
    {
        using MemFd file = MemFd.Create("ring-benchmark", sizeBytes);
        Table = GuestMemory.Of([GuestRegion.Map(default, default, sizeBytes, file, 0, populate: true)]);
    }

    public GuestMemory Table { get; }

    public GuestAddress Allocate(ulong bytes)
    {
        ulong at = _next;
        _next = (at + bytes + 4095) & ~4095UL;
        return new GuestAddress(at);
    }

    public void Dispose() => Table.Release();
}
