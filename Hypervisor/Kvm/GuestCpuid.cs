using System.Numerics;
using Paravane.Hypervisor.Kvm.Abi;

namespace Paravane.Hypervisor.Kvm;

/// <summary>What CPUID answers on each vCPU: what KVM supports, with one package of as many cores as there are vCPUs, one thread each.</summary>
/// <remarks>What KVM reports carries the identity of the host processor that happened to be asked, so each leaf that tells one is made anew.</remarks>
internal static class GuestCpuid
{
    private const uint BasicLeaf = 1, CacheLeaf = 4, TopologyLeaf = 0xB, TopologyLeafV2 = 0x1F;
    private const uint AmdFeatureLeaf = 0x8000_0001, AddressSizeLeaf = 0x8000_0008, AmdCacheLeaf = 0x8000_001D, AmdTopologyLeaf = 0x8000_001E,
        AmdTopologyLeafV2 = 0x8000_0026;

    // Leaf 1: ECX
    private const uint Vmx = 1u << 5, TscDeadline = 1u << 24, Hypervisor = 1u << 31;

    // Leaf 1: EDX
    private const uint HyperThreading = 1u << 28;

    // Leaf 0x80000001: ECX
    private const uint CmpLegacy = 1u << 1, Svm = 1u << 2, TopologyExtensions = 1u << 22;

    private const int LastLevelCache = 3;

    /// <summary>The leaves of one vCPU.</summary>
    /// <param name="supported">What KVM supports.</param>
    /// <param name="id">Number of the vCPU and of its APIC.</param>
    /// <param name="count">Number of vCPUs.</param>
    public static KvmCpuidEntry[] For(ReadOnlySpan<KvmCpuidEntry> supported, int id, int count)
    {
        var result = new List<KvmCpuidEntry>(supported.Length + 6);
        bool hasTopology = false, hasTopologyV2 = false, hasAmdTopology = false, hasAmdCaches = false;
        foreach (KvmCpuidEntry entry in supported)
        {
            hasTopology |= entry.Function == TopologyLeaf;
            hasTopologyV2 |= entry.Function == TopologyLeafV2;
            hasAmdTopology |= entry.Function == AmdTopologyLeaf;
            hasAmdCaches |= entry.Function == AmdCacheLeaf;
        }

        bool isAmd = IsAmd(supported);
        foreach (KvmCpuidEntry entry in supported)
        {
            if (entry.Function is not (TopologyLeaf or TopologyLeafV2 or AmdTopologyLeafV2))
            {
                result.Add(Change(entry, (uint)id, (uint)count, isAmd, hasAmdTopology && hasAmdCaches));
            }
        }

        if (hasTopology)
        {
            AddTopology(result, TopologyLeaf, (uint)id, (uint)count);
        }

        if (hasTopologyV2)
        {
            AddTopology(result, TopologyLeafV2, (uint)id, (uint)count);
        }

        return [.. result];
    }

    /// <summary>Width of guest physical addresses in bits.</summary>
    public static int PhysicalAddressBits(ReadOnlySpan<KvmCpuidEntry> supported)
    {
        foreach (KvmCpuidEntry entry in supported)
        {
            if (entry.Function == AddressSizeLeaf)
            {
                return (int)(entry.Eax & 0xFF);
            }
        }

        return 36; // what processors without that leaf have
    }

    private static KvmCpuidEntry Change(KvmCpuidEntry entry, uint id, uint count, bool isAmd, bool hasAmdTopology)
    {
        uint bits = BitsFor(count);
        switch (entry.Function)
        {
            case BasicLeaf:
                entry.Ebx = (entry.Ebx & 0x0000_FFFF) | (Math.Min(1u << (int)bits, 255) << 16) | (id << 24);
                // No virtualization inside: its state would survive a reset, and whoever needs it here has not come yet.
                entry.Ecx = (entry.Ecx & ~Vmx) | TscDeadline | Hypervisor;
                entry.Edx = With(entry.Edx, HyperThreading, count > 1);
                break;
            case CacheLeaf when !isAmd && (entry.Eax & 0x1F) != 0:
                entry.Eax = (entry.Eax & 0x3FFF) | ((SharersOf(entry) - 1) << 14) | (((1u << (int)Math.Min(bits, 6)) - 1) << 26);
                break;
            case AmdFeatureLeaf:
                entry.Ecx &= ~Svm;
                if (isAmd)
                {
                    entry.Ecx = With(entry.Ecx, CmpLegacy, count > 1);
                    entry.Ecx = hasAmdTopology ? entry.Ecx : entry.Ecx & ~TopologyExtensions;
                }

                break;
            case AddressSizeLeaf when isAmd:
                entry.Ecx = (entry.Ecx & ~0xF0FFu) | (count - 1) | (bits << 12);
                break;
            case AmdCacheLeaf when (entry.Eax & 0x1F) != 0:
                entry.Eax = (entry.Eax & ~(0xFFFu << 14)) | ((SharersOf(entry) - 1) << 14);
                break;
            case AmdTopologyLeaf:
                entry.Eax = id;
                entry.Ebx = id & 0xFF;
                entry.Ecx = 0;
                break;
            default:
                break;
        }

        return entry;

        uint SharersOf(KvmCpuidEntry cache) => ((cache.Eax >> 5) & 7) >= LastLevelCache ? count : 1;
    }

    /// <summary>Sub-leaves: threads of a core, cores of the package, the end.</summary>
    private static void AddTopology(List<KvmCpuidEntry> result, uint leaf, uint id, uint count)
    {
        const uint Thread = 0x100, Core = 0x201, End = 2;
        result.Add(new KvmCpuidEntry { Function = leaf, Index = 0, Flags = KvmCpuidEntry.IndexCounts, Eax = 0, Ebx = 1, Ecx = Thread, Edx = id });
        uint bits = BitsFor(count);
        result.Add(new KvmCpuidEntry { Function = leaf, Index = 1, Flags = KvmCpuidEntry.IndexCounts, Eax = bits, Ebx = count, Ecx = Core, Edx = id });
        result.Add(new KvmCpuidEntry { Function = leaf, Index = 2, Flags = KvmCpuidEntry.IndexCounts, Ecx = End, Edx = id });
    }

    /// <summary>Bits that number <paramref name="count"/> things.</summary>
    private static uint BitsFor(uint count) => (uint)(32 - BitOperations.LeadingZeroCount(count - 1));

    private static bool IsAmd(ReadOnlySpan<KvmCpuidEntry> supported)
    {
        foreach (KvmCpuidEntry entry in supported)
        {
            if (entry.Function == 0)
            {
                return (entry.Ebx, entry.Edx, entry.Ecx) is (0x68747541, 0x69746E65, 0x444D4163) // AuthenticAMD
                    or (0x6F677948, 0x6E65476E, 0x656E6975); // HygonGenuine
            }
        }

        return false;
    }

    private static uint With(uint word, uint bit, bool isSet) => isSet ? word | bit : word & ~bit;
}
