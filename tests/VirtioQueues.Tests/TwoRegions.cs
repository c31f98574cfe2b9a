using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Tests;

/// <summary>Two regions that touch in the guest and lie apart in this process. Rings go to <see cref="Rings"/>.</summary>
internal sealed unsafe class TwoRegions : IDisposable
{
    public const ulong Low = 0x10_0000, Border = 0x11_0000, End = 0x12_0000, Rings = Low, Data = Low + 0x8000;

    public TwoRegions()
    {
        using MemFd low = MemFd.Create("low", Border - Low), high = MemFd.Create("high", End - Border);
        LowRegion = GuestRegion.Map(new GuestAddress(Low), new UserAddress(Low), Border - Low, low, 0);
        HighRegion = Map(high);
        if (LowRegion.Host + (Border - Low) == HighRegion.Host)
        {
            // The kernel gave the gap that another test has just left. While it is taken, the next one lies elsewhere.
            GuestRegion beside = HighRegion;
            HighRegion = Map(high);
            beside.Discard();
        }

        Assert.NotEqual((nint)LowRegion.Host + (nint)(Border - Low), (nint)HighRegion.Host);
        Table = GuestMemory.Of([HighRegion, LowRegion]);
    }

    public GuestRegion LowRegion { get; }

    public GuestRegion HighRegion { get; }

    public GuestMemory Table { get; }

    public void Dispose() => Table.Release();

    private static GuestRegion Map(MemFd file) => GuestRegion.Map(new GuestAddress(Border), new UserAddress(End + 0x10_0000), End - Border, file, 0);
}
