using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>A write that ends in an eventfd, <c>struct kvm_ioeventfd</c>. 64 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal struct KvmIoEventFd
{
    /// <summary>Only this value, with <see cref="KvmIoEventFdFlags.DataMatch"/>.</summary>
    public ulong DataMatch;

    /// <summary>Guest physical address.</summary>
    public ulong Address;

    /// <summary>Only accesses of this length in bytes; 0 for any.</summary>
    public uint LengthBytes;

    /// <summary>The eventfd.</summary>
    public int Fd;

    /// <summary>Flags.</summary>
    public KvmIoEventFdFlags Flags;
}

/// <summary>Bits of <see cref="KvmIoEventFd.Flags"/>.</summary>
[Flags]
internal enum KvmIoEventFdFlags : uint
{
    /// <summary>KVM_IOEVENTFD_FLAG_DATAMATCH.</summary>
    DataMatch = 1,

    /// <summary>KVM_IOEVENTFD_FLAG_DEASSIGN.</summary>
    Deassign = 4,
}
