using System.Runtime.InteropServices;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Kvm;

/// <summary>What the first vCPU finds in its registers, and the tables in guest memory that they point to.</summary>
internal static class BootRegisters
{
    /// <summary>Selector of the ring-0 code segment.</summary>
    public const ushort KernelCode = 0x10;

    /// <summary>Selector of the ring-0 data segment.</summary>
    public const ushort KernelData = 0x18;

    /// <summary>Selector of the task state segment.</summary>
    public const ushort TaskState = 0x20;

    /// <summary>Selector of the ring-3 data segment.</summary>
    public const ushort UserData = 0x2B;

    /// <summary>Selector of the ring-3 code segment.</summary>
    public const ushort UserCode = 0x33;

    private const ulong PageBytes = 4096, LargePageBytes = 2UL << 20;
    private const int PageDirectories = 4, EntriesPerTable = 512;
    private const ulong PresentAndWritable = 3, OpenToUser = 4, LargePage = 0x80;
    private const ulong ProtectedMode = 0x11, Paging = 0x8000_0000, PhysicalAddressExtension = 0x20, LongMode = 0x500;
    private const uint FlatLimit = 0xFFFF_FFFF;
    private const byte CodeType = 11, DataType = 3, TaskType = 11;

    /// <summary>Two empty, then in order of the selectors above.</summary>
    private static readonly ulong[] s_gdt =
    [
        0, 0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x008F_8B00_0000_FFFF, 0x00CF_F300_0000_FFFF, 0x00AF_FB00_0000_FFFF,
    ];

    /// <summary>Writes the descriptor table and, for a 64-bit start, page tables that map the first 4 GiB one to one.</summary>
    /// <exception cref="IOException">There is no memory where they belong.</exception>
    public static void WriteTables(GuestMemory memory, BootMode mode)
    {
        WriteWords(memory, AddressMap.BootGdt, s_gdt);
        if (mode == BootMode.Pvh)
        {
            return;
        }

        ulong access = PresentAndWritable | (mode == BootMode.LongUser ? OpenToUser : 0);
        ulong pointers = AddressMap.PageTables + PageBytes, directories = pointers + PageBytes;
        Span<ulong> table = stackalloc ulong[EntriesPerTable];
        table.Clear();
        table[0] = pointers | access;
        WriteWords(memory, AddressMap.PageTables, table);
        for (int i = 0; i < PageDirectories; i++)
        {
            table[i] = (directories + ((ulong)i * PageBytes)) | access;
        }

        WriteWords(memory, pointers, table);
        for (int i = 0; i < PageDirectories; i++)
        {
            for (int j = 0; j < EntriesPerTable; j++)
            {
                table[j] = ((ulong)((i * EntriesPerTable) + j) * LargePageBytes) | access | LargePage;
            }

            WriteWords(memory, directories + ((ulong)i * PageBytes), table);
        }
    }

    /// <summary>Segment and control registers.</summary>
    /// <param name="initial">As KVM made them.</param>
    /// <param name="mode">The state that the entry point asks for.</param>
    public static KvmSregs Special(KvmSregs initial, BootMode mode)
    {
        bool isUser = mode == BootMode.LongUser;
        byte level = isUser ? (byte)3 : (byte)0;
        KvmSegment data = Segment(isUser ? UserData : KernelData, DataType, level, isLong: false);
        KvmSregs special = initial;
        special.Cs = Segment(isUser ? UserCode : KernelCode, CodeType, level, isLong: mode != BootMode.Pvh);
        special.Ds = data;
        special.Es = data;
        special.Fs = data;
        special.Gs = data;
        special.Ss = data;

        // Intel: with a limit of this size the granularity must be set.
        special.Tr = new KvmSegment { Selector = TaskState, Limit = FlatLimit, Type = TaskType, Present = 1, Granularity = 1 };
        special.Gdt = new KvmTableRegister { Base = AddressMap.BootGdt, Limit = (ushort)((s_gdt.Length * sizeof(ulong)) - 1) };
        special.Idt = default;
        if (mode == BootMode.Pvh)
        {
            special.Tr.Limit = 0x67;
            special.Tr.Granularity = 0;
            special.Cr0 = ProtectedMode;
            special.Cr3 = 0;
            special.Cr4 = 0;
            special.Efer = 0;
            return special;
        }

        special.Cr0 = ProtectedMode | Paging;
        special.Cr3 = AddressMap.PageTables;
        special.Cr4 = PhysicalAddressExtension;
        special.Efer = LongMode;
        return special;
    }

    /// <summary>General registers.</summary>
    public static KvmRegs General(BootState boot)
    {
        var general = new KvmRegs { Rip = boot.EntryPoint, Rflags = 2 };
        if (boot.Mode == BootMode.Pvh)
        {
            general.Rbx = boot.Parameter;
            return general;
        }

        general.Rsi = boot.Parameter;
        general.Rsp = AddressMap.BootStack;
        general.Rbp = AddressMap.BootStack;
        if (boot.Mode == BootMode.LongUser)
        {
            general.Rflags |= 3u << 12; // IOPL: ring 3 may access ports
        }

        return general;
    }

    private static KvmSegment Segment(ushort selector, byte type, byte level, bool isLong) => new()
    {
        Selector = selector,
        Limit = FlatLimit,
        Type = type,
        Present = 1,
        Dpl = level,
        Default32 = isLong ? (byte)0 : (byte)1,
        NotSystem = 1,
        Long = isLong ? (byte)1 : (byte)0,
        Granularity = 1,
    };

    private static void WriteWords(GuestMemory memory, ulong address, ReadOnlySpan<ulong> words)
    {
        if (!memory.TryWrite(new GuestAddress(address), MemoryMarshal.AsBytes(words)))
        {
            throw new IOException($"there is no guest memory at 0x{address:x}");
        }
    }
}
