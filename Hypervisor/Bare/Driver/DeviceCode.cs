using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Pci;
using Paravane.Hypervisor.Virtio;
using Paravane.VhostServer.Protocol;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Writes what a driver does with a device before and after its work: finding it, initialization (virtio 1.2 §3.1.1), and reset.</summary>
/// <param name="code">Where it is written.</param>
/// <param name="transport">Where devices are.</param>
/// <param name="device">Which one.</param>
/// <param name="giveUp">Where a failure goes, with <see cref="DriverFault"/> in RAX and the device in RDX.</param>
internal sealed class DeviceCode(CodeWriter code, DriverTransport transport, DriverDevice device, Label giveUp)
{
    private const uint VirtioVendor = 0x1AF4, FirstModernDevice = 0x1040, MmioMagic = 0x7472_6976;
    private const int SlotBytes = 1 << 15, MmioWindows = 17, MmioNotify = 0x50, MmioConfig = 0x100, ResetPatience = 20_000;
    private const int CapabilityPointer = 0x34;

    private readonly RegisterMap _map = transport == DriverTransport.Pci ? RegisterMap.Pci : RegisterMap.Mmio;

    /// <summary>Kicks are words on this transport.</summary>
    public bool HasWordNotify => transport == DriverTransport.Pci;

    private uint DeviceId => device == DriverDevice.Disk ? VhostUserOptions.BlockDevice : (uint)VhostUserOptions.NetDevice;

    private ulong Bar => DriverLayout.FirstBar + ((ulong)device * DriverLayout.BarStride);

    private MemoryOperand Common => Variable(0);

    private MemoryOperand NotifyArea => Variable(8);

    private MemoryOperand NotifyMultiplier => Variable(16);

    private MemoryOperand Config => Variable(24);

    /// <summary>Finds the device and starts it with <paramref name="queues"/>, which are prepared.</summary>
    /// <param name="required">Features that the driver needs.</param>
    /// <param name="welcome">Features that it takes when they are offered.</param>
    /// <param name="checkConfig">Looks at the device configuration, whose address is in RSI, before the queues are set up; may give up.</param>
    /// <param name="queues">In the order of their indices.</param>
    public void Start(ulong required, ulong welcome, Action<Action<Condition, DriverFault>>? checkConfig, params ReadOnlySpan<QueueCode> queues)
    {
        if (transport == DriverTransport.Pci)
        {
            FindFunction();
        }
        else
        {
            FindWindow();
        }

        code.Load(Register.R14, Common, Width.Qword);
        Reset();
        SetStatus(VirtioStatus.Acknowledge);
        SetStatus(VirtioStatus.Acknowledge | VirtioStatus.Driver);
        for (int half = 0; half < 2; half++)
        {
            Negotiate(half, (uint)(required >> (32 * half)), (uint)(welcome >> (32 * half)));
        }

        const VirtioStatus Negotiated = VirtioStatus.Acknowledge | VirtioStatus.Driver | VirtioStatus.FeaturesOk;
        SetStatus(Negotiated);
        code.Load(Register.Rax, At(_map.Status), _map.StatusWidth);
        code.Test(Register.Rax, (int)VirtioStatus.FeaturesOk);
        GiveUp(Condition.Equal, DriverFault.FeaturesRefused);
        if (checkConfig is not null)
        {
            code.Load(Register.Rsi, Config, Width.Qword);
            checkConfig(GiveUp);
        }

        foreach (QueueCode queue in queues)
        {
            SetUp(queue);
        }

        SetStatus(Negotiated | VirtioStatus.DriverOk);
        code.Load(Register.Rax, At(_map.Status), _map.StatusWidth);
        code.Cmp(Register.Rax, (int)(Negotiated | VirtioStatus.DriverOk));
        GiveUp(Condition.NotEqual, DriverFault.NotStarted);
    }

    /// <summary>Resets the device after its work: it then touches memory no more.</summary>
    public void Finish()
    {
        code.Load(Register.R14, Common, Width.Qword);
        Reset();
    }

    /// <summary>Gives up if.</summary>
    private void GiveUp(Condition condition, DriverFault fault)
    {
        Label fine = code.NewLabel();
        code.J((Condition)((int)condition ^ 1), fine); // conditions come in pairs that differ in the lowest bit
        GiveUp(fault);
        code.Bind(fine);
    }

    private void GiveUp(DriverFault fault)
    {
        code.Mov(Register.Rax, (int)fault);
        code.Mov(Register.Rdx, (int)device);
        code.Jmp(giveUp);
    }

    /// <summary>Scans the bus, places the BAR, turns it on and walks the capabilities.</summary>
    private void FindFunction()
    {
        code.Mov(Register.R14, AddressMap.Ecam + SlotBytes);
        code.Mov(Register.Rcx, ((FirstModernDevice + DeviceId) << 16) | VirtioVendor);
        code.Mov(Register.Rdx, AddressMap.Ecam + ((ulong)PciBus.SlotCount * SlotBytes));
        Label slot = code.Here(), found = code.NewLabel();
        code.Load(Register.Rax, new MemoryOperand(Register.R14), Width.Dword);
        code.Cmp(Register.Rax, Register.Rcx);
        code.J(Condition.Equal, found);
        code.Add(Register.R14, SlotBytes);
        code.Cmp(Register.R14, Register.Rdx);
        code.J(Condition.Below, slot);
        GiveUp(DriverFault.NoDevice);

        code.Bind(found);
        code.Mov(Register.Rbx, Bar);
        code.Store(new MemoryOperand(Register.R14, PciConfig.Bar0), Register.Rbx, Width.Dword);
        code.Store(new MemoryOperand(Register.R14, PciConfig.Bar0 + 4), 0, Width.Dword);
        code.Store(new MemoryOperand(Register.R14, PciConfig.Command), PciConfig.CommandMemory, Width.Word);
        code.Load(Register.Rax, new MemoryOperand(Register.R14, CapabilityPointer), Width.Byte);
        Label capability = code.Here(), next = code.NewLabel(), end = code.NewLabel();
        code.Test(Register.Rax, Register.Rax);
        code.J(Condition.Equal, end);
        code.Mov(Register.Rsi, Register.R14);
        code.Add(Register.Rsi, Register.Rax);
        code.Load(Register.Rdx, new MemoryOperand(Register.Rsi), Width.Dword); // id, next, length, type
        code.Movzx(Register.Rax, Register.Rdx, Width.Byte);
        code.Cmp(Register.Rax, PciConfig.VendorCapability);
        code.J(Condition.NotEqual, next);
        code.Mov(Register.Rcx, Register.Rdx);
        code.Shr(Register.Rcx, 24);
        foreach ((VirtioCapability type, MemoryOperand variable) in new[]
        {
            (VirtioCapability.Common, Common), (VirtioCapability.Notify, NotifyArea), (VirtioCapability.Device, Config),
        })
        {
            Label other = code.NewLabel();
            code.Cmp(Register.Rcx, (int)type);
            code.J(Condition.NotEqual, other);
            code.Load(Register.Rax, new MemoryOperand(Register.Rsi, 8), Width.Dword);
            code.Add(Register.Rax, Register.Rbx);
            code.Store(variable, Register.Rax, Width.Qword);
            if (type == VirtioCapability.Notify)
            {
                code.Load(Register.Rax, new MemoryOperand(Register.Rsi, 16), Width.Dword);
                code.Store(NotifyMultiplier, Register.Rax, Width.Qword);
            }

            code.Jmp(next);
            code.Bind(other);
        }

        code.Bind(next);
        code.Mov(Register.Rax, Register.Rdx);
        code.Shr(Register.Rax, 8);
        code.Movzx(Register.Rax, Register.Rax, Width.Byte);
        code.Jmp(capability);
        code.Bind(end);
        foreach (MemoryOperand variable in new[] { Common, NotifyArea, Config })
        {
            code.Load(Register.Rax, variable, Width.Qword);
            code.Test(Register.Rax, Register.Rax);
            GiveUp(Condition.Equal, DriverFault.NoCapability);
        }
    }

    /// <summary>Looks through the windows.</summary>
    private void FindWindow()
    {
        code.Mov(Register.R14, AddressMap.VirtioMmio);
        code.Mov(Register.Rdx, AddressMap.VirtioMmio + (MmioWindows * AddressMap.VirtioMmioStride));
        Label window = code.Here(), next = code.NewLabel(), found = code.NewLabel();
        code.Load(Register.Rax, new MemoryOperand(Register.R14), Width.Dword);
        code.Cmp(Register.Rax, (int)MmioMagic);
        code.J(Condition.NotEqual, next);
        code.Load(Register.Rax, new MemoryOperand(Register.R14, 8), Width.Dword);
        code.Cmp(Register.Rax, (int)DeviceId);
        code.J(Condition.Equal, found);
        code.Bind(next);
        code.Add(Register.R14, (int)AddressMap.VirtioMmioStride);
        code.Cmp(Register.R14, Register.Rdx);
        code.J(Condition.Below, window);
        GiveUp(DriverFault.NoDevice);
        code.Bind(found);
        code.Store(Common, Register.R14, Width.Qword);
        code.Lea(Register.Rax, new MemoryOperand(Register.R14, MmioConfig));
        code.Store(Config, Register.Rax, Width.Qword);
    }

    /// <summary>Writes status 0 and waits until it reads 0. A device on PCI may take its time.</summary>
    private void Reset()
    {
        code.Store(At(_map.Status), 0, _map.StatusWidth);
        code.Mov(Register.Rcx, ResetPatience);
        Label wait = code.Here(), done = code.NewLabel();
        code.Load(Register.Rax, At(_map.Status), _map.StatusWidth);
        code.Test(Register.Rax, Register.Rax);
        code.J(Condition.Equal, done);
        code.Sub(Register.Rcx, 1);
        code.J(Condition.NotEqual, wait);
        GiveUp(DriverFault.NoReset);
        code.Bind(done);
    }

    private void Negotiate(int half, uint required, uint welcome)
    {
        code.Store(At(_map.DeviceFeatureSelect), half, Width.Dword);
        code.Load(Register.Rax, At(_map.DeviceFeature), Width.Dword);
        code.Mov(Register.Rcx, (ulong)required);
        code.Mov(Register.Rdx, Register.Rax);
        code.And(Register.Rdx, Register.Rcx);
        code.Cmp(Register.Rdx, Register.Rcx);
        GiveUp(Condition.NotEqual, DriverFault.FeatureMissing);
        code.Mov(Register.Rcx, (ulong)(required | welcome));
        code.And(Register.Rax, Register.Rcx);
        code.Store(At(_map.DriverFeatureSelect), half, Width.Dword);
        code.Store(At(_map.DriverFeature), Register.Rax, Width.Dword);
    }

    private void SetUp(QueueCode queue)
    {
        code.Mov(Register.Rax, queue.Index);
        code.Store(At(_map.QueueSelect), Register.Rax, _map.QueueWidth);
        code.Load(Register.Rax, At(_map.QueueSizeMax), _map.QueueWidth);
        code.Cmp(Register.Rax, queue.Size);
        GiveUp(Condition.Below, DriverFault.QueueTooSmall);
        code.Mov(Register.Rax, queue.Size);
        code.Store(At(_map.QueueSize), Register.Rax, _map.QueueWidth);
        foreach ((int register, ulong address) in new[] { (_map.Descriptors, queue.Descriptors), (_map.DriverArea, queue.DriverArea), (_map.DeviceArea, queue.DeviceArea) })
        {
            code.Mov(Register.Rax, address);
            code.Store(At(register), Register.Rax, Width.Dword);
            code.Store(At(register + 4), 0, Width.Dword);
        }

        if (transport == DriverTransport.Pci)
        {
            const int NotifyOffset = 30;
            code.Load(Register.Rax, At(NotifyOffset), Width.Word);
            code.Load(Register.Rcx, NotifyMultiplier, Width.Qword);
            code.Imul(Register.Rax, Register.Rcx);
            code.Load(Register.Rcx, NotifyArea, Width.Qword);
            code.Add(Register.Rax, Register.Rcx);
        }
        else
        {
            code.Lea(Register.Rax, At(MmioNotify));
        }

        code.Store(queue.NotifyAddress, Register.Rax, Width.Qword);
        code.Mov(Register.Rax, 1);
        code.Store(At(_map.QueueEnable), Register.Rax, _map.QueueWidth);
    }

    private void SetStatus(VirtioStatus status) => code.Store(At(_map.Status), (int)status, _map.StatusWidth);

    private MemoryOperand Variable(int offset) => new(Register.R15, DriverLayout.Private + ((int)device * 64) + offset);

    private static MemoryOperand At(int register) => new(Register.R14, register);
}
