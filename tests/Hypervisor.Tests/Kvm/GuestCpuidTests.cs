using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Kvm.Abi;

namespace Paravane.Hypervisor.Tests.Kvm;

public sealed class GuestCpuidTests
{
    [Theory]
    [InlineData(0, 1, 0u, 1u)]
    [InlineData(1, 2, 1u, 2u)]
    [InlineData(2, 3, 2u, 4u)]
    [InlineData(15, 16, 4u, 16u)]
    [InlineData(253, 254, 8u, 255u)]
    public void Each_vcpu_tells_its_own_id_and_the_same_package(int id, int count, uint bits, uint logical)
    {
        KvmCpuidEntry[] leaves = GuestCpuid.For(Intel(), id, count);
        KvmCpuidEntry basic = Leaf(leaves, 1);
        Assert.Equal((uint)id, basic.Ebx >> 24);
        Assert.Equal(logical, (basic.Ebx >> 16) & 0xFF);
        Assert.Equal(count > 1, (basic.Edx & (1 << 28)) != 0);
        foreach (uint function in new uint[] { 0xB, 0x1F })
        {
            KvmCpuidEntry[] levels = [.. leaves.Where(leaf => leaf.Function == function)];
            Assert.Equal(3, levels.Length);
            Assert.All(levels, level => Assert.Equal(((uint)id, KvmCpuidEntry.IndexCounts), (level.Edx, level.Flags)));
            Assert.Equal((0u, 1u, 0x100u), (levels[0].Eax, levels[0].Ebx, levels[0].Ecx));
            Assert.Equal((bits, (uint)count, 0x201u), (levels[1].Eax, levels[1].Ebx, levels[1].Ecx));
            Assert.Equal((0u, 0u, 2u), (levels[2].Eax, levels[2].Ebx, levels[2].Ecx));
        }
    }

    [Fact]
    public void Hypervisor_and_deadline_timer_are_told_and_no_virtualization_inside()
    {
        KvmCpuidEntry basic = Leaf(GuestCpuid.For(Intel(), 0, 1), 1);
        Assert.Equal((1u << 31) | (1u << 24) | (1u << 21), basic.Ecx);
        Assert.Equal(0u, Leaf(GuestCpuid.For(Amd(), 0, 1), 0x8000_0001).Ecx & 4);
    }

    [Fact]
    public void Leaves_of_KVM_itself_stay()
    {
        KvmCpuidEntry[] leaves = GuestCpuid.For(Intel(), 0, 2);
        Assert.Equal(0x4B4D564Bu, Leaf(leaves, 0x4000_0000).Ebx);
        Assert.Equal(0x0100_7EFBu, Leaf(leaves, 0x4000_0001).Eax);
    }

    [Fact]
    public void On_Intel_the_last_cache_is_shared_by_all()
    {
        KvmCpuidEntry[] caches = [.. GuestCpuid.For(Intel(), 3, 6).Where(leaf => leaf.Function == 4)];
        Assert.Equal((0u, 7u), ((caches[0].Eax >> 14) & 0xFFF, caches[0].Eax >> 26));
        Assert.Equal((5u, 7u), ((caches[1].Eax >> 14) & 0xFFF, caches[1].Eax >> 26));
        Assert.Equal(0u, caches[2].Eax);
    }

    [Fact]
    public void On_AMD_the_topology_leaves_are_made_anew()
    {
        KvmCpuidEntry[] leaves = GuestCpuid.For(Amd(), 5, 6);
        Assert.Equal((1u << 22) | 2u, Leaf(leaves, 0x8000_0001).Ecx & ((1u << 22) | 2u));
        Assert.Equal(0x3005u, Leaf(leaves, 0x8000_0008).Ecx & 0xF0FF);
        Assert.Equal((5u, 5u, 0u), (Leaf(leaves, 0x8000_001E).Eax, Leaf(leaves, 0x8000_001E).Ebx, Leaf(leaves, 0x8000_001E).Ecx));
        Assert.Equal(5u, (Leaf(leaves, 0x8000_001D).Eax >> 14) & 0xFFF);
        Assert.DoesNotContain(leaves, leaf => leaf.Function == 0x8000_0026);
    }

    [Fact]
    public void On_AMD_without_topology_leaves_none_are_announced()
    {
        KvmCpuidEntry[] supported = [.. Amd().Where(leaf => leaf.Function is not (0x8000_001D or 0x8000_001E))];
        Assert.Equal(0u, Leaf(GuestCpuid.For(supported, 0, 2), 0x8000_0001).Ecx & (1u << 22));
    }

    [Fact]
    public void Width_of_addresses_is_read_from_its_leaf()
    {
        Assert.Equal(46, GuestCpuid.PhysicalAddressBits(Intel()));
        Assert.Equal(36, GuestCpuid.PhysicalAddressBits([]));
    }

    private static KvmCpuidEntry Leaf(KvmCpuidEntry[] leaves, uint function) => leaves.Single(leaf => leaf.Function == function);

    private static KvmCpuidEntry[] Intel() =>
    [
        new() { Function = 0, Eax = 0x1F, Ebx = 0x756E_6547, Ecx = 0x6C65_746E, Edx = 0x4965_6E69 },
        new() { Function = 1, Ebx = 0x0704_0800, Ecx = (1 << 5) | (1 << 21), Edx = 1 << 28 },
        new() { Function = 4, Index = 0, Flags = 1, Eax = 0x1C00_4121 },
        new() { Function = 4, Index = 1, Flags = 1, Eax = 0x1C03_C163 },
        new() { Function = 4, Index = 2, Flags = 1 },
        new() { Function = 0xB, Index = 0, Flags = 1, Edx = 7 },
        new() { Function = 0x1F, Index = 0, Flags = 1, Edx = 7 },
        new() { Function = 0x4000_0000, Eax = 0x4000_0001, Ebx = 0x4B4D_564B },
        new() { Function = 0x4000_0001, Eax = 0x0100_7EFB },
        new() { Function = 0x8000_0001, Ecx = 0x21 },
        new() { Function = 0x8000_0008, Eax = 0x302E },
    ];

    private static KvmCpuidEntry[] Amd() =>
    [
        new() { Function = 0, Eax = 0x10, Ebx = 0x6874_7541, Ecx = 0x444D_4163, Edx = 0x6974_6E65 },
        new() { Function = 1 },
        new() { Function = 0xB, Index = 0, Flags = 1 },
        new() { Function = 0x8000_0001, Ecx = 4 | (1 << 22) },
        new() { Function = 0x8000_0008, Eax = 0x3030, Ecx = 0x5017 },
        new() { Function = 0x8000_001D, Index = 3, Flags = 1, Eax = 0x0003_C163 },
        new() { Function = 0x8000_001E, Eax = 9, Ebx = 0x0104, Ecx = 0x0300 },
        new() { Function = 0x8000_0026, Eax = 1 },
    ];
}
