using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>A segment register with its hidden part, <c>struct kvm_segment</c>. 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 24)]
internal struct KvmSegment
{
    /// <summary>First linear address.</summary>
    public ulong Base;

    /// <summary>Last offset in bytes, whatever <see cref="Granularity"/>.</summary>
    public uint Limit;

    /// <summary>The visible part.</summary>
    public ushort Selector;

    /// <summary>Type of the descriptor.</summary>
    public byte Type;

    /// <summary>Bit P.</summary>
    public byte Present;

    /// <summary>Privilege level; the stack segment's is the vCPU's.</summary>
    public byte Dpl;

    /// <summary>Bit D/B.</summary>
    public byte Default32;

    /// <summary>Bit S: code or data, no system segment.</summary>
    public byte NotSystem;

    /// <summary>Bit L.</summary>
    public byte Long;

    /// <summary>Bit G.</summary>
    public byte Granularity;

    /// <summary>Bit AVL.</summary>
    public byte Available;

    /// <summary>Holds no segment.</summary>
    public byte Unusable;
}

/// <summary>GDTR or IDTR, <c>struct kvm_dtable</c>. 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal struct KvmTableRegister
{
    /// <summary>First linear address.</summary>
    public ulong Base;

    /// <summary>Last offset in bytes.</summary>
    public ushort Limit;
}

/// <summary>Bits of external interrupts that are under way, one per vector. 32 bytes.</summary>
[System.Runtime.CompilerServices.InlineArray(4)]
internal struct KvmInterruptBitmap
{
    private ulong _first;
}

/// <summary>Segment and control registers, <c>struct kvm_sregs</c>. 312 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 312)]
internal struct KvmSregs
{
#pragma warning disable CS1591 // The names are the processor's own.
    public KvmSegment Cs, Ds, Es, Fs, Gs, Ss, Tr, Ldt;
    public KvmTableRegister Gdt, Idt;
    public ulong Cr0, Cr2, Cr3, Cr4, Cr8, Efer, ApicBase;
#pragma warning restore CS1591

    /// <summary>Interrupts under way.</summary>
    public KvmInterruptBitmap Interrupts;
}
