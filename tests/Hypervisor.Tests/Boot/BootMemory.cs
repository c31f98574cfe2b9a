using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Tests.Boot;

/// <summary>Guest RAM as a machine has it: from 0 to at most 3 GiB, and from 4 GiB on. Nothing of it is really there until it is written.</summary>
internal sealed class BootMemory : IDisposable
{
    public BootMemory(ulong ramBytes)
    {
        RamBytes = ramBytes;
        ulong low = Math.Min(ramBytes, AddressMap.LowMemoryEnd);
        using MemFd file = MemFd.Create("boot-test", ramBytes);
        var regions = new List<GuestRegion> { GuestRegion.Map(new GuestAddress(0), new UserAddress(1UL << 52), low, file, 0) };
        if (ramBytes > low)
        {
            regions.Add(GuestRegion.Map(new GuestAddress(AddressMap.FourGiB), new UserAddress((1UL << 52) + AddressMap.FourGiB), ramBytes - low, file, low));
        }

        Table = GuestMemory.Of(regions);
    }

    public ulong RamBytes { get; }

    public GuestMemory Table { get; }

    public byte[] Bytes(ulong address, int count)
    {
        byte[] bytes = new byte[count];
        Assert.True(Table.TryRead(new GuestAddress(address), bytes));
        return bytes;
    }

    public ulong Word64(ulong address) => BitConverter.ToUInt64(Bytes(address, 8));

    public uint Word32(ulong address) => BitConverter.ToUInt32(Bytes(address, 4));

    public void Dispose() => Table.Release();
}
