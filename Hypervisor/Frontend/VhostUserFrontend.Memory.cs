using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Memory;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Frontend;

/// <content>Guest memory: one table, or region by region.</content>
public sealed partial class VhostUserFrontend
{
    /// <summary>Regions that one SET_MEM_TABLE may carry.</summary>
    private const int MaxTableRegions = 8;

    /// <summary>Tells the back-end of all <paramref name="regions"/>: ADD_MEM_REG each where slots are negotiated, else one SET_MEM_TABLE.</summary>
    /// <exception cref="FrontendException">The back-end refused, or takes fewer regions.</exception>
    public void SetMemory(IReadOnlyList<GuestRamRegion> regions)
    {
        ArgumentNullException.ThrowIfNull(regions);
        if ((ulong)regions.Count > MemorySlots)
        {
            throw new FrontendException($"{regions.Count} memory regions: the back-end takes {MemorySlots}");
        }

        if (Has(ProtocolFeatures.ConfigureMemSlots))
        {
            foreach (GuestRamRegion region in regions)
            {
                AddMemory(region);
            }
        }
        else
        {
            SetMemoryTable(regions);
        }
    }

    /// <summary>SET_MEM_TABLE: replaces everything.</summary>
    /// <exception cref="FrontendException">The back-end refused, or there are more than eight regions.</exception>
    public void SetMemoryTable(IReadOnlyList<GuestRamRegion> regions)
    {
        ArgumentNullException.ThrowIfNull(regions);
        if (regions.Count > MaxTableRegions)
        {
            throw new FrontendException($"SET_MEM_TABLE: {regions.Count} regions, at most {MaxTableRegions} fit");
        }

        int headerBytes = Unsafe.SizeOf<MemoryTableHeader>();
        int regionBytes = Unsafe.SizeOf<MemoryRegion>();
        byte[] payload = new byte[headerBytes + (regions.Count * regionBytes)];
        MemoryMarshal.Write(payload, new MemoryTableHeader((uint)regions.Count));
        var descriptors = new FileDescriptor[regions.Count];
        for (int i = 0; i < regions.Count; i++)
        {
            MemoryMarshal.Write(payload.AsSpan(headerBytes + (i * regionBytes)), Wire(regions[i]));
            descriptors[i] = regions[i].File;
        }

        Command(FrontendRequest.SetMemTable, payload, descriptors);
    }

    /// <summary>ADD_MEM_REG.</summary>
    /// <exception cref="FrontendException">Slots are not negotiated, or the back-end refused.</exception>
    public void AddMemory(GuestRamRegion region)
    {
        ArgumentNullException.ThrowIfNull(region);
        Require(ProtocolFeatures.ConfigureMemSlots, FrontendRequest.AddMemReg);
        Command(FrontendRequest.AddMemReg, new SingleMemoryRegion(Wire(region)), region.File);
    }

    /// <summary>REM_MEM_REG.</summary>
    /// <exception cref="FrontendException">Slots are not negotiated, or the back-end refused.</exception>
    public void RemoveMemory(GuestRamRegion region)
    {
        ArgumentNullException.ThrowIfNull(region);
        Require(ProtocolFeatures.ConfigureMemSlots, FrontendRequest.RemMemReg);
        Command(FrontendRequest.RemMemReg, new SingleMemoryRegion(Wire(region)));
    }

    private static MemoryRegion Wire(GuestRamRegion region) => new(region.Guest.Value, region.SizeBytes, region.User.Value, region.FileOffset);
}
