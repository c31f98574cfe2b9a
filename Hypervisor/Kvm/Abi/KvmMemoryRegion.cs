using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>A memory slot, <c>struct kvm_userspace_memory_region</c>. 32 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 32)]
internal readonly struct KvmMemoryRegion(uint slot, ulong guest, ulong sizeBytes, ulong host)
{
    /// <summary>Number of the slot.</summary>
    public readonly uint Slot = slot;

    /// <summary>1 log writes, 2 read-only.</summary>
    public readonly uint Flags;

    /// <summary>First guest physical address.</summary>
    public readonly ulong Guest = guest;

    /// <summary>Size in bytes; 0 removes the slot.</summary>
    public readonly ulong SizeBytes = sizeBytes;

    /// <summary>First byte in this process.</summary>
    public readonly ulong Host = host;
}
