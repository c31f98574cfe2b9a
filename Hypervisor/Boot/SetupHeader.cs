namespace Paravane.Hypervisor.Boot;

/// <summary>
/// Offsets of the fields of <c>struct boot_params</c> (the zero page) that are used. Those from <see cref="Start"/> to the end of the setup header have
/// the same offsets in a bzImage (Linux boot protocol, Documentation/arch/x86/boot.rst).
/// </summary>
internal static class SetupHeader
{
    /// <summary>Size of the zero page, and of what must be read of a bzImage to see all of its setup header.</summary>
    public const int PageBytes = 4096;

    /// <summary>u64: address of the RSDP.</summary>
    public const int Rsdp = 0x070;

    /// <summary>u8: number of entries at <see cref="E820Table"/>.</summary>
    public const int E820Count = 0x1E8;

    /// <summary>u8: sectors of the real-mode part after the first; 0 means 4. First byte of the setup header.</summary>
    public const int Start = 0x1F1;

    /// <summary>u16: 0xAA55.</summary>
    public const int BootFlag = 0x1FE;

    /// <summary>u8 at this place: the header ends so many bytes after 0x202.</summary>
    public const int JumpDistance = 0x201;

    /// <summary>u32: "HdrS".</summary>
    public const int Magic = 0x202;

    /// <summary>u16: protocol version, major in the high byte.</summary>
    public const int Version = 0x206;

    /// <summary>u8: who loaded it; 0xFF is anyone.</summary>
    public const int LoaderType = 0x210;

    /// <summary>u8: bit 0 loaded high, bit 7 heap usable.</summary>
    public const int LoadFlags = 0x211;

    /// <summary>u32: where the protected-mode code was loaded.</summary>
    public const int Code32Start = 0x214;

    /// <summary>u32: address of the initrd.</summary>
    public const int InitrdAddress = 0x218;

    /// <summary>u32: length of the initrd in bytes.</summary>
    public const int InitrdBytes = 0x21C;

    /// <summary>u32: address of the command line.</summary>
    public const int CommandLine = 0x228;

    /// <summary>u32: highest address that a byte of the initrd may have.</summary>
    public const int InitrdMaxAddress = 0x22C;

    /// <summary>u32: alignment of the kernel.</summary>
    public const int KernelAlignment = 0x230;

    /// <summary>u16: bit 0 64-bit entry point.</summary>
    public const int ExtendedLoadFlags = 0x236;

    /// <summary>u32: longest command line in bytes, without the zero byte.</summary>
    public const int CommandLineMaxBytes = 0x238;

    /// <summary>u32: offset of the compressed kernel from the start of the protected-mode code.</summary>
    public const int PayloadOffset = 0x248;

    /// <summary>u32: length of the compressed kernel.</summary>
    public const int PayloadBytes = 0x24C;

    /// <summary>u64: first entry of the list of further data.</summary>
    public const int SetupData = 0x250;

    /// <summary>u64: preferred load address.</summary>
    public const int PreferredAddress = 0x258;

    /// <summary>u32: bytes from the load address on that the kernel uses before it knows the memory map.</summary>
    public const int InitBytes = 0x260;

    /// <summary>End of what a header may fill: the next field of the zero page.</summary>
    public const int End = 0x290;

    /// <summary>Entries of 20 bytes: <see cref="E820Entry"/>.</summary>
    public const int E820Table = 0x2D0;

    /// <summary>Value at <see cref="BootFlag"/>.</summary>
    public const ushort BootFlagValue = 0xAA55;

    /// <summary>Value at <see cref="Magic"/>.</summary>
    public const uint MagicValue = 0x53726448;

    /// <summary>Oldest version that says whether there is a 64-bit entry point (2.12).</summary>
    public const ushort OldestVersion = 0x020C;
}
