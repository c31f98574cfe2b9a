using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm.Abi;

namespace Paravane.Hypervisor.Kvm;

/// <content>Registers; how the vCPU is when switched on, and how it gets there again.</content>
internal sealed unsafe partial class KvmVcpu
{
    private const uint TscMsr = 0x10, ApicBaseMsr = 0x1B, EferMsr = 0xC000_0080;

    /// <summary>Smallest size of the extended state in bytes.</summary>
    private const int XsaveBytes = 4096;

    /// <summary>
    /// What a firmware would have left behind: no system-call entries, fast strings on, all memory write-back. 0 as time stamp is KVM's sign for
    /// «began together with the other vCPUs», which keeps the counters in step.
    /// </summary>
    private static readonly KvmMsr[] s_bootMsrs =
    [
        new(0x174, 0), new(0x175, 0), new(0x176, 0), new(0xC000_0081, 0), new(0xC000_0082, 0), new(0xC000_0083, 0), new(0xC000_0084, 0),
        new(0xC000_0102, 0), new(TscMsr, 0), new(0x1A0, 1), new(0x2FF, 0x806),
    ];

    /// <summary>Range registers of memory types, which some kernels leave out of their list.</summary>
    private static readonly uint[] s_memoryTypeMsrs =
    [
        .. Enumerable.Range(0x200, 16).Select(index => (uint)index), 0x250, 0x258, 0x259, .. Enumerable.Range(0x268, 8).Select(index => (uint)index),
    ];

    private KvmSregs _initialSregs;
    private KvmLapic _initialLapic;
    private KvmVcpuEvents _initialEvents;
    private KvmDebugRegs _initialDebugRegs;
    private KvmXcrs _initialXcrs;
    private KvmMpState _initialMpState;
    private KvmMsr[] _initialMsrs = [];
    private byte[] _initialXsave = [];

    /// <summary>Frequency of the guest's time stamp counter in kHz.</summary>
    /// <exception cref="IOException">KVM does not know it.</exception>
    public int TscKilohertz => KvmNative.Call(_file, KvmIoctl.GetTscKhz, (nuint)0, "KVM_GET_TSC_KHZ");

    /// <summary>General registers of a paused vCPU.</summary>
    /// <exception cref="InvalidOperationException">It is not paused: an access may be half done.</exception>
    public KvmRegs Registers
    {
        get
        {
            RequirePause();
            KvmRegs registers;
            Call(KvmIoctl.GetRegs, &registers, "KVM_GET_REGS");
            return registers;
        }

        set
        {
            RequirePause();
            Call(KvmIoctl.SetRegs, &value, "KVM_SET_REGS");
        }
    }

    /// <summary>Segment and control registers of a paused vCPU.</summary>
    /// <exception cref="InvalidOperationException">It is not paused.</exception>
    public KvmSregs SpecialRegisters
    {
        get
        {
            RequirePause();
            KvmSregs registers;
            Call(KvmIoctl.GetSregs, &registers, "KVM_GET_SREGS");
            return registers;
        }

        set
        {
            RequirePause();
            Call(KvmIoctl.SetSregs, &value, "KVM_SET_SREGS");
        }
    }

    /// <summary>Sets up everything but the registers, once, when all vCPUs of the machine exist, and remembers it for resets.</summary>
    /// <param name="cpuid">What CPUID answers.</param>
    /// <param name="msrs">The registers that make up a guest's state.</param>
    /// <exception cref="IOException">KVM refused.</exception>
    internal void SetUp(ReadOnlySpan<KvmCpuidEntry> cpuid, ReadOnlySpan<uint> msrs)
    {
        SetCpuid(cpuid); // before the registers that exist only with a bit of it
        int written = SetMsrs(s_bootMsrs);
        if (written != s_bootMsrs.Length)
        {
            throw new KvmException($"vcpu{Id}: KVM refuses MSR 0x{s_bootMsrs[written].Index:x}");
        }

        var fpu = new KvmFpu { ControlWord = 0x37F, Mxcsr = 0x1F80 };
        Call(KvmIoctl.SetFpu, &fpu, "KVM_SET_FPU");
        Remember(msrs);

        // The pins as wired on a PC: LINT0 to the PICs, LINT1 to NMI. Setting it also tells KVM the APIC's id: its table of them is made
        // anew with each vCPU, and without this an INIT for a later one would vanish.
        Wire(KvmLapic.Lint0, delivery: 7);
        Wire(KvmLapic.Lint1, delivery: 4);
        fixed (KvmLapic* lapic = &_initialLapic)
        {
            Call(KvmIoctl.SetLapic, lapic, "KVM_SET_LAPIC");
        }
    }

    /// <summary>Sets the registers with which a guest begins; only on the first vCPU.</summary>
    internal void SetBootRegisters(BootState boot)
    {
        KvmSregs special = BootRegisters.Special(_initialSregs, boot.Mode);
        KvmRegs general = BootRegisters.General(boot);
        Call(KvmIoctl.SetSregs, &special, "KVM_SET_SREGS");
        Call(KvmIoctl.SetRegs, &general, "KVM_SET_REGS");
    }

    /// <summary>Everything as after <see cref="SetUp"/>, whatever the guest did. While paused.</summary>
    /// <exception cref="IOException">KVM refused.</exception>
    internal void Reset()
    {
        // Events first: they take a vCPU out of system management mode, which no other state may be set in. MSRs after what decides which of
        // them are legal; the state among vCPUs last, since an INIT may still be latched.
        var general = new KvmRegs { Rflags = 2, Rip = 0xFFF0 };
        fixed (KvmVcpuEvents* events = &_initialEvents)
        fixed (KvmSregs* special = &_initialSregs)
        fixed (KvmLapic* lapic = &_initialLapic)
        fixed (KvmDebugRegs* debug = &_initialDebugRegs)
        fixed (KvmXcrs* xcrs = &_initialXcrs)
        fixed (byte* xsave = _initialXsave)
        fixed (KvmMpState* state = &_initialMpState)
        {
            Call(KvmIoctl.SetVcpuEvents, events, "KVM_SET_VCPU_EVENTS");
            Call(KvmIoctl.SetSregs, special, "KVM_SET_SREGS");
            Call(KvmIoctl.SetRegs, &general, "KVM_SET_REGS");
            Call(KvmIoctl.SetXsave, xsave, "KVM_SET_XSAVE");
            if (xcrs->Count != 0)
            {
                Call(KvmIoctl.SetXcrs, xcrs, "KVM_SET_XCRS");
            }

            Call(KvmIoctl.SetDebugRegs, debug, "KVM_SET_DEBUGREGS");
            Call(KvmIoctl.SetLapic, lapic, "KVM_SET_LAPIC");
            int written = SetMsrs(_initialMsrs);
            if (written != _initialMsrs.Length)
            {
                throw new KvmException($"vcpu{Id}: KVM refuses MSR 0x{_initialMsrs[written].Index:x}");
            }

            Call(KvmIoctl.SetMpState, state, "KVM_SET_MP_STATE");
        }
    }

    /// <summary>Tells the guest's clock that a pause has passed, or its watchdogs would bark.</summary>
    internal void TellPause() => _ = KvmNative.Ioctl(_file.Number, KvmIoctl.KvmClockControl, 0); // EINVAL: the guest has no such clock

    private void Remember(ReadOnlySpan<uint> msrs)
    {
        fixed (KvmVcpuEvents* events = &_initialEvents)
        fixed (KvmSregs* special = &_initialSregs)
        fixed (KvmLapic* lapic = &_initialLapic)
        fixed (KvmDebugRegs* debug = &_initialDebugRegs)
        fixed (KvmXcrs* xcrs = &_initialXcrs)
        fixed (KvmMpState* state = &_initialMpState)
        {
            Call(KvmIoctl.GetMpState, state, "KVM_GET_MP_STATE");
            Call(KvmIoctl.GetSregs, special, "KVM_GET_SREGS");
            Call(KvmIoctl.GetLapic, lapic, "KVM_GET_LAPIC");
            Call(KvmIoctl.GetDebugRegs, debug, "KVM_GET_DEBUGREGS");
            Call(KvmIoctl.GetXcrs, xcrs, "KVM_GET_XCRS");
            Call(KvmIoctl.GetVcpuEvents, events, "KVM_GET_VCPU_EVENTS");
        }

        int size = KvmNative.Ioctl(_vm.File.Number, KvmIoctl.CheckExtension, (nuint)KvmCapability.Xsave2);
        _initialXsave = new byte[Math.Max(size, XsaveBytes)];
        fixed (byte* xsave = _initialXsave)
        {
            bool isLarge = _initialXsave.Length > XsaveBytes;
            Call(isLarge ? KvmIoctl.GetXsave2 : KvmIoctl.GetXsave, xsave, isLarge ? "KVM_GET_XSAVE2" : "KVM_GET_XSAVE");
        }

        _initialMsrs = ReadMsrs(msrs);
    }

    /// <summary>Values of those registers that can be read and written back: the list names some that this host or this CPUID lacks.</summary>
    private KvmMsr[] ReadMsrs(ReadOnlySpan<uint> indices)
    {
        var values = new List<KvmMsr>(indices.Length);
        Span<KvmMsr> one = stackalloc KvmMsr[1];
        foreach (uint index in (ReadOnlySpan<uint>)[.. indices, .. s_memoryTypeMsrs])
        {
            // EFER and the APIC's base are part of the special registers; the time stamp starts anew by 0, not by what it was.
            if (index is TscMsr or ApicBaseMsr or EferMsr)
            {
                continue;
            }

            one[0] = new KvmMsr(index, 0);
            if (TransferMsrs(KvmIoctl.GetMsrs, one, "KVM_GET_MSRS") == 1 && SetMsrs(one) == 1)
            {
                values.Add(one[0]);
            }
        }

        values.AddRange(s_bootMsrs);
        return [.. values];
    }

    private int SetMsrs(ReadOnlySpan<KvmMsr> values)
    {
        KvmMsr[] copy = values.ToArray();
        return TransferMsrs(KvmIoctl.SetMsrs, copy, "KVM_SET_MSRS");
    }

    /// <returns>How many the kernel accepted before the first that it did not.</returns>
    private int TransferMsrs(uint request, Span<KvmMsr> values, string name)
    {
        byte[] buffer = new byte[sizeof(KvmListHeader) + (values.Length * sizeof(KvmMsr))];
        fixed (byte* start = buffer)
        {
            var header = (KvmListHeader*)start;
            header->Count = (uint)values.Length;
            var list = new Span<KvmMsr>(header + 1, values.Length);
            values.CopyTo(list);
            int count = Call(request, start, name);
            list.CopyTo(values);
            return count;
        }
    }

    private void SetCpuid(ReadOnlySpan<KvmCpuidEntry> entries)
    {
        byte[] buffer = new byte[sizeof(KvmListHeader) + (entries.Length * sizeof(KvmCpuidEntry))];
        fixed (byte* start = buffer)
        {
            var header = (KvmListHeader*)start;
            header->Count = (uint)entries.Length;
            entries.CopyTo(new Span<KvmCpuidEntry>(header + 1, entries.Length));
            Call(KvmIoctl.SetCpuid2, start, "KVM_SET_CPUID2");
        }
    }

    private void Wire(int pin, uint delivery)
    {
        ref uint entry = ref _initialLapic[pin];
        entry = (entry & ~0x700u) | (delivery << 8);
    }

    private void RequirePause()
    {
        lock (_gate)
        {
            if (!IsParked)
            {
                throw new InvalidOperationException($"vcpu{Id} is not paused");
            }
        }
    }

    private int Call(uint request, void* argument, string name) => KvmNative.Call(_file, request, argument, name);
}
