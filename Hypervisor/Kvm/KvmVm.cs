using Paravane.Hypervisor.Kvm.Abi;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <summary>A virtual machine of KVM with interrupt controllers and timer in the kernel: memory slots, doorbells, interrupts.</summary>
/// <remarks>Any thread.</remarks>
internal sealed unsafe class KvmVm : IDoorbells, IDisposable
{
    private const int PicsAndIoApic = 3;

    /// <summary>KVM_CREATE_VM gives up when a signal comes while it works; more often than this in a row is another trouble.</summary>
    private const int MaxInterruptions = 100;

    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, uint> _slots = [];
    private readonly KvmIrqchip[] _initialChips = new KvmIrqchip[PicsAndIoApic];
    private KvmPitState _initialPit;

    private KvmVm(KvmSystem system, FileDescriptor file)
    {
        Host = system;
        File = file;
        Interrupts = new KvmInterrupts(file, system.Check(KvmCapability.IrqRouting));
    }

    /// <summary>The KVM it is of.</summary>
    public KvmSystem Host { get; }

    /// <summary>Descriptor of the VM.</summary>
    public FileDescriptor File { get; }

    /// <summary>Its interrupts.</summary>
    public KvmInterrupts Interrupts { get; }

    /// <summary>Makes a machine without memory and vCPUs.</summary>
    /// <exception cref="KvmException">KVM makes none; the message says why.</exception>
    /// <exception cref="LinuxException">A part of it cannot be made.</exception>
    public static KvmVm Create(KvmSystem system)
    {
        int fd, attempts = 0;
        while ((fd = KvmNative.Ioctl(system.File.Number, KvmIoctl.CreateVm, 0)) < 0)
        {
            int errno = Errno.Last;
            if (errno != Errno.EINTR || ++attempts > MaxInterruptions)
            {
                throw new KvmException(errno == Errno.EBUSY
                    ? "KVM cannot make a virtual machine: another hypervisor on this host has the processor's virtualization"
                    : $"KVM cannot make a virtual machine: {Errno.NameOf(errno)} ({Errno.TextOf(errno)})");
            }
        }

        var file = new FileDescriptor(fd);
        try
        {
            var vm = new KvmVm(system, file);
            vm.MakeChips();
            return vm;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Gives a range of RAM to the guest.</summary>
    /// <exception cref="LinuxException">KVM refused, for example since it overlaps another.</exception>
    public void AddMemory(MemoryBank bank)
    {
        lock (_gate)
        {
            uint slot = 0;
            while (_slots.ContainsValue(slot))
            {
                slot++;
            }

            var region = new KvmMemoryRegion(slot, bank.Guest, bank.SizeBytes, (ulong)bank.Host);
            KvmNative.Call(File, KvmIoctl.SetUserMemoryRegion, &region, "KVM_SET_USER_MEMORY_REGION");
            _slots.Add(bank.Guest, slot);
        }
    }

    /// <summary>Takes a range away again.</summary>
    /// <exception cref="ArgumentException">It was not given.</exception>
    /// <exception cref="LinuxException">KVM refused.</exception>
    public void RemoveMemory(MemoryBank bank)
    {
        lock (_gate)
        {
            if (!_slots.TryGetValue(bank.Guest, out uint slot))
            {
                throw new ArgumentException($"no memory at 0x{bank.Guest:x}", nameof(bank));
            }

            var region = new KvmMemoryRegion(slot, bank.Guest, sizeBytes: 0, (ulong)bank.Host);
            KvmNative.Call(File, KvmIoctl.SetUserMemoryRegion, &region, "KVM_SET_USER_MEMORY_REGION");
            _slots.Remove(bank.Guest);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="LinuxException">KVM refused: EEXIST when the address has such a doorbell.</exception>
    public void Attach(ulong address, uint lengthBytes, uint? match, EventFd target) => SetDoorbell(address, lengthBytes, match, target, 0);

    /// <inheritdoc/>
    /// <exception cref="LinuxException">It was not attached (ENOENT).</exception>
    public void Detach(ulong address, uint lengthBytes, uint? match, EventFd target) =>
        SetDoorbell(address, lengthBytes, match, target, KvmIoEventFdFlags.Deassign);

    /// <summary>Interrupt controllers, timer and wired interrupts as a machine has them that was just switched on. Messages and their routes stay.</summary>
    /// <remarks>While no vCPU runs.</remarks>
    internal void Reset()
    {
        Interrupts.LowerLines();
        fixed (KvmIrqchip* chips = _initialChips)
        fixed (KvmPitState* pit = &_initialPit)
        {
            for (int i = 0; i < PicsAndIoApic; i++)
            {
                KvmNative.Call(File, KvmIoctl.SetIrqchip, chips + i, "KVM_SET_IRQCHIP");
            }

            KvmNative.Call(File, KvmIoctl.SetPit2, pit, "KVM_SET_PIT2");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => File.Dispose();

    private void MakeChips()
    {
        ulong identityMap = AddressMap.IdentityMap;
        KvmNative.Call(File, KvmIoctl.SetTssAddress, (nuint)AddressMap.TaskState, "KVM_SET_TSS_ADDR");
        KvmNative.Call(File, KvmIoctl.SetIdentityMapAddress, &identityMap, "KVM_SET_IDENTITY_MAP_ADDR");
        KvmNative.Call(File, KvmIoctl.CreateIrqchip, (nuint)0, "KVM_CREATE_IRQCHIP");
        var timer = new KvmPitConfig { Flags = 1 };
        KvmNative.Call(File, KvmIoctl.CreatePit2, &timer, "KVM_CREATE_PIT2");
        fixed (KvmIrqchip* chips = _initialChips)
        fixed (KvmPitState* pit = &_initialPit)
        {
            for (uint i = 0; i < PicsAndIoApic; i++)
            {
                chips[i].Chip = i;
                KvmNative.Call(File, KvmIoctl.GetIrqchip, chips + i, "KVM_GET_IRQCHIP");
            }

            KvmNative.Call(File, KvmIoctl.GetPit2, pit, "KVM_GET_PIT2");
        }
    }

    private void SetDoorbell(ulong address, uint lengthBytes, uint? match, EventFd target, KvmIoEventFdFlags flags)
    {
        var doorbell = new KvmIoEventFd
        {
            Address = address,
            LengthBytes = lengthBytes,
            DataMatch = match ?? 0,
            Fd = target.Number,
            Flags = flags | (match is null ? 0 : KvmIoEventFdFlags.DataMatch),
        };
        KvmNative.Call(File, KvmIoctl.IoEventFd, &doorbell, "KVM_IOEVENTFD");
    }
}
