using System.Runtime.CompilerServices;
using Paravane.Hypervisor.Kvm.Abi;

namespace Paravane.Hypervisor.Tests.Kvm;

/// <summary>Sizes, offsets and numbers against <c>linux/kvm.h</c> and <c>asm/kvm.h</c> of x86-64.</summary>
public sealed unsafe class AbiTests
{
    [Fact]
    public void Memory_region()
    {
        KvmMemoryRegion value = default;
        Size(32, value);
        Offset(0, ref value, in value.Slot);
        Offset(4, ref value, in value.Flags);
        Offset(8, ref value, in value.Guest);
        Offset(16, ref value, in value.SizeBytes);
        Offset(24, ref value, in value.Host);
    }

    [Fact]
    public void Shared_page()
    {
        KvmRun value = default;
        Offset(1, ref value, in value.ImmediateExit);
        Offset(8, ref value, in value.ExitReason);
        Offset(32, ref value, in value.Io.Direction);
        Offset(33, ref value, in value.Io.SizeBytes);
        Offset(34, ref value, in value.Io.Port);
        Offset(36, ref value, in value.Io.Count);
        Offset(40, ref value, in value.Io.DataOffset);
        Offset(32, ref value, in value.Mmio.Address);
        Offset(40, ref value, in value.Mmio.Data);
        Offset(48, ref value, in value.Mmio.LengthBytes);
        Offset(52, ref value, in value.Mmio.IsWrite);
        Offset(32, ref value, in value.InternalError.SubError);
        Offset(36, ref value, in value.InternalError.DataWords);
        Offset(40, ref value, in value.InternalError.Flags);
        Offset(48, ref value, in value.InternalError.InstructionLengthBytes);
        Offset(49, ref value, in value.InternalError.Instruction);
        Offset(32, ref value, in value.FailEntry.Reason);
        Offset(40, ref value, in value.FailEntry.Cpu);
        Offset(32, ref value, in value.SystemEvent.Type);
        Offset(36, ref value, in value.SystemEvent.DataWords);
        Offset(32, ref value, in value.MemoryFault.Flags);
        Offset(40, ref value, in value.MemoryFault.Address);
        Offset(48, ref value, in value.MemoryFault.SizeBytes);
        Assert.Equal(15, sizeof(KvmInstructionBytes));
    }

    [Fact]
    public void General_registers()
    {
        KvmRegs value = default;
        Size(144, value);
        Offset(0, ref value, in value.Rax);
        Offset(8, ref value, in value.Rbx);
        Offset(16, ref value, in value.Rcx);
        Offset(24, ref value, in value.Rdx);
        Offset(32, ref value, in value.Rsi);
        Offset(40, ref value, in value.Rdi);
        Offset(48, ref value, in value.Rsp);
        Offset(56, ref value, in value.Rbp);
        Offset(64, ref value, in value.R8);
        Offset(72, ref value, in value.R9);
        Offset(80, ref value, in value.R10);
        Offset(88, ref value, in value.R11);
        Offset(96, ref value, in value.R12);
        Offset(104, ref value, in value.R13);
        Offset(112, ref value, in value.R14);
        Offset(120, ref value, in value.R15);
        Offset(128, ref value, in value.Rip);
        Offset(136, ref value, in value.Rflags);
    }

    [Fact]
    public void Segment()
    {
        KvmSegment value = default;
        Size(24, value);
        Offset(0, ref value, in value.Base);
        Offset(8, ref value, in value.Limit);
        Offset(12, ref value, in value.Selector);
        Offset(14, ref value, in value.Type);
        Offset(15, ref value, in value.Present);
        Offset(16, ref value, in value.Dpl);
        Offset(17, ref value, in value.Default32);
        Offset(18, ref value, in value.NotSystem);
        Offset(19, ref value, in value.Long);
        Offset(20, ref value, in value.Granularity);
        Offset(21, ref value, in value.Available);
        Offset(22, ref value, in value.Unusable);
    }

    [Fact]
    public void Special_registers()
    {
        KvmSregs value = default;
        Size(312, value);
        Size(16, value.Gdt);
        Offset(0, ref value, in value.Cs);
        Offset(24, ref value, in value.Ds);
        Offset(48, ref value, in value.Es);
        Offset(72, ref value, in value.Fs);
        Offset(96, ref value, in value.Gs);
        Offset(120, ref value, in value.Ss);
        Offset(144, ref value, in value.Tr);
        Offset(168, ref value, in value.Ldt);
        Offset(192, ref value, in value.Gdt.Base);
        Offset(200, ref value, in value.Gdt.Limit);
        Offset(208, ref value, in value.Idt.Base);
        Offset(216, ref value, in value.Idt.Limit);
        Offset(224, ref value, in value.Cr0);
        Offset(232, ref value, in value.Cr2);
        Offset(240, ref value, in value.Cr3);
        Offset(248, ref value, in value.Cr4);
        Offset(256, ref value, in value.Cr8);
        Offset(264, ref value, in value.Efer);
        Offset(272, ref value, in value.ApicBase);
        Offset(280, ref value, in value.Interrupts);
        Size(32, value.Interrupts);
    }

    [Fact]
    public void Floating_point()
    {
        KvmFpu value = default;
        Size(416, value);
        Offset(128, ref value, in value.ControlWord);
        Offset(408, ref value, in value.Mxcsr);
    }

    [Fact]
    public void Cpuid_entry()
    {
        KvmCpuidEntry value = default;
        Size(40, value);
        Offset(0, ref value, in value.Function);
        Offset(4, ref value, in value.Index);
        Offset(8, ref value, in value.Flags);
        Offset(12, ref value, in value.Eax);
        Offset(16, ref value, in value.Ebx);
        Offset(20, ref value, in value.Ecx);
        Offset(24, ref value, in value.Edx);
    }

    [Fact]
    public void Lists()
    {
        KvmListHeader header = default;
        Size(8, header);
        Offset(0, ref header, in header.Count);
        Offset(4, ref header, in header.Reserved);
        KvmMsrIndexHeader indices = default;
        Size(4, indices);
        Offset(0, ref indices, in indices.Count);
        KvmMsr msr = default;
        Size(16, msr);
        Offset(0, ref msr, in msr.Index);
        Offset(4, ref msr, in msr.Reserved);
        Offset(8, ref msr, in msr.Value);
    }

    [Fact]
    public void Io_event_fd()
    {
        KvmIoEventFd value = default;
        Size(64, value);
        Offset(0, ref value, in value.DataMatch);
        Offset(8, ref value, in value.Address);
        Offset(16, ref value, in value.LengthBytes);
        Offset(20, ref value, in value.Fd);
        Offset(24, ref value, in value.Flags);
    }

    [Fact]
    public void Irq_fd_and_level()
    {
        KvmIrqFd value = default;
        Size(32, value);
        Offset(0, ref value, in value.Fd);
        Offset(4, ref value, in value.Gsi);
        Offset(8, ref value, in value.Flags);
        Offset(12, ref value, in value.ResampleFd);
        KvmIrqLevel level = default;
        Size(8, level);
        Offset(0, ref level, in level.Gsi);
        Offset(4, ref level, in level.Level);
    }

    [Fact]
    public void Route()
    {
        KvmIrqRoute value = default;
        Size(48, value);
        Offset(0, ref value, in value.Gsi);
        Offset(4, ref value, in value.Type);
        Offset(16, ref value, in value.Chip);
        Offset(20, ref value, in value.Pin);
        Offset(16, ref value, in value.AddressLow);
        Offset(20, ref value, in value.AddressHigh);
        Offset(24, ref value, in value.Data);
    }

    [Fact]
    public void State_that_is_kept_as_it_is()
    {
        KvmIrqchip chip = default;
        Size(520, chip);
        Offset(0, ref chip, in chip.Chip);
        KvmXcrs xcrs = default;
        Size(392, xcrs);
        Offset(0, ref xcrs, in xcrs.Count);
        KvmPitConfig timer = default;
        Size(64, timer);
        Offset(0, ref timer, in timer.Flags);
        KvmTranslation translation = default;
        Size(24, translation);
        Offset(0, ref translation, in translation.Linear);
        Offset(8, ref translation, in translation.Physical);
        Offset(16, ref translation, in translation.Valid);
        Assert.Equal(112, sizeof(KvmPitState));
        Assert.Equal(64, sizeof(KvmVcpuEvents));
        Assert.Equal(128, sizeof(KvmDebugRegs));
        Assert.Equal(4, sizeof(KvmMpState));
    }

    [Fact]
    public void Local_apic()
    {
        KvmLapic value = default;
        Size(1024, value);
        value[KvmLapic.Lint1] = 7;
        Assert.Equal(7u, Unsafe.As<KvmLapic, uint>(ref Unsafe.AddByteOffset(ref value, 0x360)));
        Assert.Throws<ArgumentOutOfRangeException>(() =>
        {
            KvmLapic other = default;
            return other[1021];
        });
    }

    /// <summary>The kernel finds the handler by all 32 bits, so a wrong size is an unknown request.</summary>
    [Fact]
    public void A_request_carries_the_size_of_its_structure()
    {
        (uint Request, int SizeBytes)[] requests =
        [
            (KvmIoctl.GetApiVersion, 0), (KvmIoctl.CreateVm, 0), (KvmIoctl.CheckExtension, 0), (KvmIoctl.GetVcpuMmapSize, 0),
            (KvmIoctl.CreateVcpu, 0), (KvmIoctl.SetTssAddress, 0), (KvmIoctl.CreateIrqchip, 0), (KvmIoctl.Run, 0), (KvmIoctl.KvmClockControl, 0), (KvmIoctl.GetTscKhz, 0),
            (KvmIoctl.GetMsrIndexList, sizeof(KvmMsrIndexHeader)), (KvmIoctl.GetSupportedCpuid, sizeof(KvmListHeader)),
            (KvmIoctl.SetUserMemoryRegion, sizeof(KvmMemoryRegion)), (KvmIoctl.SetIdentityMapAddress, sizeof(ulong)),
            (KvmIoctl.IrqLine, sizeof(KvmIrqLevel)), (KvmIoctl.GetIrqchip, sizeof(KvmIrqchip)), (KvmIoctl.SetIrqchip, sizeof(KvmIrqchip)),
            (KvmIoctl.SetGsiRouting, sizeof(KvmListHeader)), (KvmIoctl.IrqFd, sizeof(KvmIrqFd)), (KvmIoctl.CreatePit2, sizeof(KvmPitConfig)),
            (KvmIoctl.IoEventFd, sizeof(KvmIoEventFd)), (KvmIoctl.GetPit2, sizeof(KvmPitState)), (KvmIoctl.SetPit2, sizeof(KvmPitState)),
            (KvmIoctl.GetRegs, sizeof(KvmRegs)), (KvmIoctl.SetRegs, sizeof(KvmRegs)), (KvmIoctl.GetSregs, sizeof(KvmSregs)),
            (KvmIoctl.SetSregs, sizeof(KvmSregs)), (KvmIoctl.Translate, sizeof(KvmTranslation)), (KvmIoctl.GetMsrs, sizeof(KvmListHeader)),
            (KvmIoctl.SetMsrs, sizeof(KvmListHeader)), (KvmIoctl.SetFpu, sizeof(KvmFpu)), (KvmIoctl.GetLapic, sizeof(KvmLapic)),
            (KvmIoctl.SetLapic, sizeof(KvmLapic)), (KvmIoctl.SetCpuid2, sizeof(KvmListHeader)), (KvmIoctl.GetMpState, sizeof(KvmMpState)),
            (KvmIoctl.SetMpState, sizeof(KvmMpState)), (KvmIoctl.GetVcpuEvents, sizeof(KvmVcpuEvents)), (KvmIoctl.SetVcpuEvents, sizeof(KvmVcpuEvents)),
            (KvmIoctl.GetDebugRegs, sizeof(KvmDebugRegs)), (KvmIoctl.SetDebugRegs, sizeof(KvmDebugRegs)), (KvmIoctl.GetXsave, 4096),
            (KvmIoctl.SetXsave, 4096), (KvmIoctl.GetXsave2, 4096), (KvmIoctl.GetXcrs, sizeof(KvmXcrs)), (KvmIoctl.SetXcrs, sizeof(KvmXcrs)),
        ];
        foreach ((uint request, int sizeBytes) in requests)
        {
            Assert.Equal(sizeBytes, (int)((request >> 16) & 0x3FFF));
            Assert.Equal(0xAEu, (request >> 8) & 0xFF);
        }

        Assert.Equal(typeof(KvmIoctl).GetFields().Length, requests.DistinctBy(entry => entry.Request).Count());
    }

    private static void Size<T>(int expected, T value)
        where T : unmanaged
    {
        _ = value;
        Assert.Equal(expected, sizeof(T));
    }

    private static void Offset<T, TField>(int expected, ref T structure, ref readonly TField field)
        where T : unmanaged
        where TField : unmanaged =>
        Assert.Equal(expected, (int)Unsafe.ByteOffset(ref Unsafe.As<T, byte>(ref structure), ref Unsafe.As<TField, byte>(ref Unsafe.AsRef(in field))));
}
