namespace Paravane.Hypervisor.Boot;

/// <summary>A kernel file, recognised: Linux bzImage, or ELF with a 64-bit or a PVH entry point. Untrusted input; whatever is wrong with it is one clear line.</summary>
/// <remarks>
/// One thread at a time. Keeps the file open and nothing of its contents but the header: a guest that reboots is loaded from the file again, which costs a
/// fraction of a second and spares tens of megabytes meanwhile.
/// </remarks>
internal sealed class KernelImage : IDisposable
{
    /// <summary>Longest command line of a kernel that does not say it (COMMAND_LINE_SIZE of x86, less the zero byte).</summary>
    private const uint UsualCommandLineMaxBytes = 2047;

    /// <summary>Highest initrd address of a kernel that does not say it.</summary>
    private const uint UsualInitrdMaxAddress = 0x7FFF_FFFF;

    private readonly BootFile _file;
    private readonly BzImage? _bzImage;

    private KernelImage(BootFile file, BzImage? bzImage, LoadedKernel? outline)
    {
        _file = file;
        _bzImage = bzImage;
        Outline = outline;
    }

    /// <summary>Begins a message about it.</summary>
    public string Name => _file.Name;

    /// <summary>Setup header for the zero page; empty when the file has none.</summary>
    public ReadOnlySpan<byte> Header => _bzImage is null ? default : _bzImage.Header;

    /// <summary>Longest command line in bytes, without the zero byte.</summary>
    public uint CommandLineMaxBytes => _bzImage is { CommandLineMaxBytes: > 0 } image ? image.CommandLineMaxBytes : UsualCommandLineMaxBytes;

    /// <summary>Highest address that a byte of the initrd may have.</summary>
    public uint InitrdMaxAddress => _bzImage is { InitrdMaxAddress: > 0 } image ? image.InitrdMaxAddress : UsualInitrdMaxAddress;

    /// <summary>Where it will lie and be entered, as the file says that was opened; null: it is compressed, and only <see cref="Load"/> finds out.</summary>
    public LoadedKernel? Outline { get; }

    /// <summary>End of what it uses before it knows the memory map, or of what is known of that without unpacking it.</summary>
    public ulong LeastEnd => Outline?.End ?? _bzImage!.InitEnd;

    /// <summary>Opens and recognises <paramref name="path"/>.</summary>
    /// <exception cref="BootException">It cannot be opened, or is no kernel for this machine.</exception>
    public static KernelImage Open(string path)
    {
        BootFile file = BootFile.Open("kernel", path);
        try
        {
            byte[] first = new byte[Math.Min(file.LengthBytes, SetupHeader.PageBytes)];
            file.Read(0, first);
            if (BzImage.IsBzImage(first))
            {
                return new KernelImage(file, BzImage.Parse(file, first), outline: null);
            }

            if (!ElfImage.IsElf(first))
            {
                throw new BootException(
                    $"{file.Name} is no kernel: first bytes {Convert.ToHexString(first.AsSpan(0, Math.Min(first.Length, 4)))}{Hint(first)}; an x86-64 bzImage or ELF file is needed");
            }

            ElfImage elf = ElfImage.Parse(file);
            return new KernelImage(file, bzImage: null, new LoadedKernel(elf.Start, elf.End, elf.Entry, elf.PvhEntry));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Copies the kernel into guest memory, unpacking it on the way.</summary>
    /// <param name="loader">Guest memory.</param>
    /// <param name="lowMemoryEnd">End of the RAM below 4 GiB.</param>
    /// <exception cref="BootException">It is damaged, compressed in an unknown way, or larger than memory.</exception>
    public LoadedKernel Load(GuestLoader loader, ulong lowMemoryEnd)
    {
        using UnpackedImage? unpacked = _bzImage?.Unpack();
        ElfImage elf = ElfImage.Parse((IByteSource?)unpacked ?? _file);
        ulong end = Math.Max(elf.End, _bzImage?.InitEnd ?? 0);
        RequireRoom(end, lowMemoryEnd);
        elf.Load(loader, lowMemoryEnd);
        return new LoadedKernel(elf.Start, end, elf.Entry, elf.PvhEntry);
    }

    /// <summary>Refuses a kernel that ends behind the RAM below 4 GiB.</summary>
    /// <param name="end">Where it ends.</param>
    /// <param name="lowMemoryEnd">End of the RAM below 4 GiB.</param>
    /// <exception cref="BootException">It does.</exception>
    public void RequireRoom(ulong end, ulong lowMemoryEnd)
    {
        if (end > lowMemoryEnd)
        {
            throw new BootException($"{Name} is larger than the guest's memory: it needs the addresses up to 0x{end:x}, and RAM ends at 0x{lowMemoryEnd:x}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static string Hint(ReadOnlySpan<byte> first) =>
        first.Length > 0x3C && first.Slice(0x38, 4).SequenceEqual("ARM\x64"u8) ? " (an arm64 Linux image)"
        : first.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]) ? " (a gzip file)"
        : first.StartsWith("MZ"u8) ? " (an EFI program)"
        : string.Empty;
}
