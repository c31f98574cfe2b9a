using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>Beginning of the page that a vCPU shares with the kernel, <c>struct kvm_run</c>. What follows offset 32 depends on the reason.</summary>
[StructLayout(LayoutKind.Explicit, Size = 192)]
internal struct KvmRun
{
    /// <summary>1: the next KVM_RUN only completes what is pending, then fails with EINTR.</summary>
    [FieldOffset(1)]
    public byte ImmediateExit;

    /// <summary>Why KVM_RUN returned 0. After EINTR and EAGAIN it still holds the reason before.</summary>
    [FieldOffset(8)]
    public KvmExitReason ExitReason;

    /// <summary>For <see cref="KvmExitReason.Io"/>.</summary>
    [FieldOffset(32)]
    public KvmRunIo Io;

    /// <summary>For <see cref="KvmExitReason.Mmio"/>.</summary>
    [FieldOffset(32)]
    public KvmRunMmio Mmio;

    /// <summary>For <see cref="KvmExitReason.InternalError"/>.</summary>
    [FieldOffset(32)]
    public KvmRunInternalError InternalError;

    /// <summary>For <see cref="KvmExitReason.FailEntry"/>.</summary>
    [FieldOffset(32)]
    public KvmRunFailEntry FailEntry;

    /// <summary>For <see cref="KvmExitReason.SystemEvent"/>.</summary>
    [FieldOffset(32)]
    public KvmRunSystemEvent SystemEvent;

    /// <summary>For <see cref="KvmExitReason.MemoryFault"/>.</summary>
    [FieldOffset(32)]
    public KvmRunMemoryFault MemoryFault;
}

/// <summary>An access to a port, or several of a string instruction. 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal struct KvmRunIo
{
    /// <summary>0: the guest reads; 1: it writes.</summary>
    public byte Direction;

    /// <summary>Size of each access in bytes: 1, 2 or 4.</summary>
    public byte SizeBytes;

    /// <summary>Port.</summary>
    public ushort Port;

    /// <summary>Number of accesses, all to the same port.</summary>
    public uint Count;

    /// <summary>Where the values lie, in bytes from the start of the shared page.</summary>
    public ulong DataOffset;
}

/// <summary>An access to memory that is no RAM. 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 24)]
internal struct KvmRunMmio
{
    /// <summary>Guest physical address.</summary>
    public ulong Address;

    /// <summary>The value, little-endian, in its first <see cref="LengthBytes"/> bytes.</summary>
    public ulong Data;

    /// <summary>Length in bytes, 1 to 8.</summary>
    public uint LengthBytes;

    /// <summary>Not 0: the guest writes.</summary>
    public byte IsWrite;
}

/// <summary>What KVM could not do. 32 bytes; the fields from <see cref="Flags"/> on are those of an instruction that KVM cannot emulate.</summary>
[StructLayout(LayoutKind.Sequential, Size = 32)]
internal struct KvmRunInternalError
{
    /// <summary>1: an instruction that KVM cannot emulate.</summary>
    public uint SubError;

    /// <summary>Number of 64-bit words that follow.</summary>
    public uint DataWords;

    /// <summary>Bit 0: the instruction's bytes follow.</summary>
    public ulong Flags;

    /// <summary>How many bytes of <see cref="Instruction"/> are valid.</summary>
    public byte InstructionLengthBytes;

    /// <summary>The instruction.</summary>
    public KvmInstructionBytes Instruction;
}

/// <summary>Bytes of one instruction. 15 bytes.</summary>
[System.Runtime.CompilerServices.InlineArray(15)]
internal struct KvmInstructionBytes
{
    private byte _first;
}

/// <summary>The processor refused to enter the guest. 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal struct KvmRunFailEntry
{
    /// <summary>The processor's own reason.</summary>
    public ulong Reason;

    /// <summary>On which host processor.</summary>
    public uint Cpu;
}

/// <summary>The guest asks for something of the whole machine. 8 bytes, then data.</summary>
[StructLayout(LayoutKind.Sequential, Size = 8)]
internal struct KvmRunSystemEvent
{
    /// <summary>1 power off, 2 reset, 3 crash.</summary>
    public uint Type;

    /// <summary>Number of 64-bit words that follow.</summary>
    public uint DataWords;
}

/// <summary>Guest memory that the kernel could not reach. 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 24)]
internal struct KvmRunMemoryFault
{
    /// <summary>Flags.</summary>
    public ulong Flags;

    /// <summary>Guest physical address.</summary>
    public ulong Address;

    /// <summary>Size in bytes.</summary>
    public ulong SizeBytes;
}
