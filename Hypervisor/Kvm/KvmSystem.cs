using System.Text;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <summary>KVM as the host offers it: <c>/dev/kvm</c>, checked to be usable.</summary>
/// <remarks>Any thread.</remarks>
internal sealed unsafe class KvmSystem : IDisposable
{
    /// <summary>The device.</summary>
    public const string DefaultPath = "/dev/kvm";

    /// <summary>The only version there has been since Linux 2.6.22.</summary>
    private const int ApiVersion = 12;

    /// <summary>What everything here relies on. The youngest of them, immediate exit, came with Linux 4.12.</summary>
    private static readonly (KvmCapability Capability, string Name)[] s_required =
    [
        (KvmCapability.Irqchip, "KVM_CAP_IRQCHIP"),
        (KvmCapability.UserMemory, "KVM_CAP_USER_MEMORY"),
        (KvmCapability.SetTssAddress, "KVM_CAP_SET_TSS_ADDR"),
        (KvmCapability.ExtendedCpuid, "KVM_CAP_EXT_CPUID"),
        (KvmCapability.MpState, "KVM_CAP_MP_STATE"),
        (KvmCapability.IrqRouting, "KVM_CAP_IRQ_ROUTING"),
        (KvmCapability.IrqFd, "KVM_CAP_IRQFD"),
        (KvmCapability.Pit2, "KVM_CAP_PIT2"),
        (KvmCapability.IoEventFd, "KVM_CAP_IOEVENTFD"),
        (KvmCapability.SetIdentityMapAddress, "KVM_CAP_SET_IDENTITY_MAP_ADDR"),
        (KvmCapability.VcpuEvents, "KVM_CAP_VCPU_EVENTS"),
        (KvmCapability.DebugRegs, "KVM_CAP_DEBUGREGS"),
        (KvmCapability.Xsave, "KVM_CAP_XSAVE"),
        (KvmCapability.Xcrs, "KVM_CAP_XCRS"),
        (KvmCapability.TscDeadline, "KVM_CAP_TSC_DEADLINE_TIMER"),
        (KvmCapability.IoEventFdAnyLength, "KVM_CAP_IOEVENTFD_ANY_LENGTH"),
        (KvmCapability.ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
    ];

    private KvmSystem(FileDescriptor file) => File = file;

    /// <summary>The open device.</summary>
    public FileDescriptor File { get; }

    /// <summary>Bytes that a vCPU shares with the kernel.</summary>
    public int VcpuMappingBytes => KvmNative.Call(File, KvmIoctl.GetVcpuMmapSize, (nuint)0, "KVM_GET_VCPU_MMAP_SIZE");

    /// <summary>vCPUs that a VM may have.</summary>
    public int MaxVcpus => Math.Max(1, Check(KvmCapability.MaxVcpus));

    /// <summary>Opens KVM and checks that it can do what is needed.</summary>
    /// <exception cref="KvmException">It is missing, forbidden or too old; the message says what to do.</exception>
    public static KvmSystem Open(string path = DefaultPath)
    {
        int fd;
        fixed (byte* name = Encoding.UTF8.GetBytes(path + "\0"))
        {
            fd = LibC.open(name, LibC.O_RDWR | LibC.O_CLOEXEC);
        }

        if (fd < 0)
        {
            throw new KvmException(DescribeOpenFailure(path, Errno.Last));
        }

        var system = new KvmSystem(new FileDescriptor(fd));
        try
        {
            int version = KvmNative.Ioctl(fd, KvmIoctl.GetApiVersion, 0);
            if (version != ApiVersion)
            {
                throw new KvmException(version < 0 ? $"{path} is not KVM" : $"{path}: API version {version} is not {ApiVersion}");
            }

            RequireCapabilities(system.Check);
            return system;
        }
        catch
        {
            system.Dispose();
            throw;
        }
    }

    /// <summary>What KVM_CHECK_EXTENSION says: 0 for no, else yes or a number.</summary>
    public int Check(KvmCapability capability) => Math.Max(0, KvmNative.Ioctl(File.Number, KvmIoctl.CheckExtension, (nuint)capability));

    /// <summary>The CPUID leaves that KVM can give to guests.</summary>
    /// <exception cref="LinuxException">KVM refused.</exception>
    public KvmCpuidEntry[] SupportedCpuid()
    {
        for (int room = 128; ; room *= 2)
        {
            byte[] list = new byte[sizeof(KvmListHeader) + (room * sizeof(KvmCpuidEntry))];
            fixed (byte* start = list)
            {
                var header = (KvmListHeader*)start;
                header->Count = (uint)room;
                if (KvmNative.Ioctl(File.Number, KvmIoctl.GetSupportedCpuid, (nuint)start) == 0)
                {
                    return new ReadOnlySpan<KvmCpuidEntry>(header + 1, (int)header->Count).ToArray();
                }

                int errno = Errno.Last;
                if (errno != Errno.E2BIG || room > 4096)
                {
                    throw new LinuxException(errno, "KVM_GET_SUPPORTED_CPUID");
                }
            }
        }
    }

    /// <summary>The model-specific registers that make up a guest's state.</summary>
    /// <exception cref="LinuxException">KVM refused.</exception>
    public uint[] MsrIndices()
    {
        for (int room = 512; ; room *= 2)
        {
            uint[] list = new uint[1 + room];
            fixed (uint* start = list)
            {
                ((KvmMsrIndexHeader*)start)->Count = (uint)room;
                if (KvmNative.Ioctl(File.Number, KvmIoctl.GetMsrIndexList, (nuint)start) == 0)
                {
                    return list[1..(1 + (int)start[0])];
                }

                int errno = Errno.Last;
                if (errno != Errno.E2BIG || room > 65536)
                {
                    throw new LinuxException(errno, "KVM_GET_MSR_INDEX_LIST");
                }
            }
        }
    }

    /// <summary>What to tell when <paramref name="path"/> does not open.</summary>
    internal static string DescribeOpenFailure(string path, int errno) => errno switch
    {
        Errno.ENOENT or Errno.ENODEV or Errno.ENXIO =>
            $"{path} does not exist: load the kernel module kvm_intel or kvm_amd, and enable virtualization (VT-x, AMD-V) in the firmware or for this machine",
        Errno.EACCES or Errno.EPERM => $"{path} is forbidden to this user: add the user to the group that owns it (kvm), or run as root",
        _ => $"{path} does not open: {Errno.NameOf(errno)} ({Errno.TextOf(errno)})",
    };

    /// <summary>Names what is lacking.</summary>
    /// <exception cref="KvmException">Something is.</exception>
    internal static void RequireCapabilities(Func<KvmCapability, int> check)
    {
        string[] lacking = [.. s_required.Where(entry => check(entry.Capability) == 0).Select(entry => entry.Name)];
        if (lacking.Length != 0)
        {
            throw new KvmException($"this host's KVM lacks {string.Join(", ", lacking)}: Linux 4.12 or newer is needed");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => File.Dispose();
}
