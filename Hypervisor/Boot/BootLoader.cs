using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Boot;

/// <summary>Puts a kernel, its initrd and its parameters into guest memory, as the Linux boot protocol or PVH wants it.</summary>
/// <remarks>One thread, while no vCPU runs. Does everything anew each time, so that it also serves a guest that reboots.</remarks>
internal static partial class BootLoader
{
    private const ulong PageBytes = 4096;
    private const uint RandomSeedType = 9; // SETUP_RNG_SEED
    private const int RandomSeedBytes = 32, SetupDataHeaderBytes = 16;

    /// <summary>Refuses what <see cref="Load"/> would refuse, as far as sizes and headers tell: before anything is started for a guest that cannot be.</summary>
    /// <remarks>Reads nothing and unpacks nothing. A compressed kernel may turn out to be larger than its header says, so that the other one checks again.</remarks>
    /// <param name="kernel">The kernel.</param>
    /// <param name="initrd">The initial RAM disk, or null.</param>
    /// <param name="commandLine">See <see cref="KernelCommandLine"/>.</param>
    /// <param name="ramBytes">RAM that the guest will be told of.</param>
    /// <param name="choice">Which entry point.</param>
    /// <exception cref="BootException">Something does not fit.</exception>
    public static void Check(KernelImage kernel, IByteSource? initrd, string commandLine, ulong ramBytes, EntryChoice choice = EntryChoice.Automatic)
    {
        _ = Encode(kernel, commandLine);
        ulong lowEnd = Math.Min(ramBytes, AddressMap.LowMemoryEnd);
        kernel.RequireRoom(kernel.LeastEnd, lowEnd);
        if (initrd is not null)
        {
            _ = PlaceInitrd(kernel, kernel.LeastEnd, initrd, lowEnd);
        }

        if (kernel.Outline is { } outline)
        {
            _ = EntryOf(kernel, outline, choice);
        }
    }

    /// <summary>Loads.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="initrd">The initial RAM disk, or null.</param>
    /// <param name="commandLine">See <see cref="KernelCommandLine"/>.</param>
    /// <param name="memory">Guest RAM: one region from 0 to at most <see cref="AddressMap.LowMemoryEnd"/>, the rest from <see cref="AddressMap.FourGiB"/> on.</param>
    /// <param name="ramBytes">RAM that the guest is told of at its start; memory that was plugged in later is announced by ACPI.</param>
    /// <param name="rsdp">Address of the RSDP.</param>
    /// <param name="choice">Which entry point.</param>
    /// <returns>How the first vCPU begins.</returns>
    /// <exception cref="BootException">Something does not fit or is damaged.</exception>
    public static BootState Load(
        KernelImage kernel, IByteSource? initrd, string commandLine, GuestMemory memory, ulong ramBytes, ulong rsdp, EntryChoice choice = EntryChoice.Automatic)
    {
        byte[] line = Encode(kernel, commandLine);
        var loader = new GuestLoader(memory);
        ulong lowEnd = Math.Min(ramBytes, AddressMap.LowMemoryEnd);
        LoadedKernel loaded = kernel.Load(loader, lowEnd);
        ulong initrdAddress = initrd is null ? 0 : PlaceInitrd(kernel, loaded.End, initrd, lowEnd);
        if (initrd is not null)
        {
            loader.Copy(initrd, 0, initrd.LengthBytes, initrdAddress);
        }

        loader.Write(AddressMap.CommandLine, line);
        ulong initrdBytes = initrd?.LengthBytes ?? 0;
        E820Entry[] map = MemoryMap(ramBytes);
        (BootMode mode, ulong entry) = EntryOf(kernel, loaded, choice);
        if (mode == BootMode.Long)
        {
            WriteZeroPage(loader, kernel, loaded, map, initrdAddress, initrdBytes, rsdp);
            return new BootState(mode, entry, AddressMap.ZeroPage);
        }

        WriteStartInfo(loader, map, initrdAddress, initrdBytes, rsdp);
        return new BootState(mode, entry, AddressMap.PvhStartInfo);
    }

    /// <summary>The guest's address space, as it is told to a kernel that boots.</summary>
    /// <param name="ramBytes">RAM in all.</param>
    public static E820Entry[] MemoryMap(ulong ramBytes)
    {
        ulong lowEnd = Math.Min(ramBytes, AddressMap.LowMemoryEnd);
        ulong highBytes = ramBytes - lowEnd;
        const ulong PrivateEnd = AddressMap.TaskState + (3 * PageBytes);
        var map = new List<E820Entry>
        {
            new(0, AddressMap.ConventionalEnd, E820Type.Ram),
            new(AddressMap.ConventionalEnd, AddressMap.HighMemory - AddressMap.ConventionalEnd, E820Type.Reserved),
            new(AddressMap.HighMemory, lowEnd - AddressMap.HighMemory, E820Type.Ram),
            new(AddressMap.Ecam, AddressMap.EcamBytes, E820Type.Reserved),
            new(AddressMap.EventPage, PageBytes, E820Type.Reserved),
            new(AddressMap.IdentityMap, PrivateEnd - AddressMap.IdentityMap, E820Type.Reserved),
        };
        if (highBytes > 0)
        {
            map.Add(new(AddressMap.FourGiB, highBytes, E820Type.Ram));
        }

        return [.. map];
    }

    private static byte[] Encode(KernelImage kernel, string commandLine)
    {
        if (commandLine.Contains('\0', StringComparison.Ordinal))
        {
            throw new BootException("the kernel's command line contains a zero character");
        }

        byte[] line = Encoding.UTF8.GetBytes(commandLine + "\0");
        ulong most = Math.Min(kernel.CommandLineMaxBytes, AddressMap.ConventionalEnd - AddressMap.CommandLine - 1);
        return (ulong)line.Length - 1 <= most
            ? line
            : throw new BootException($"the kernel's command line has {line.Length - 1} bytes; {kernel.Name} takes at most {most}");
    }

    private static (BootMode Mode, ulong Entry) EntryOf(KernelImage kernel, in LoadedKernel loaded, EntryChoice choice) =>
        choice == EntryChoice.Automatic && loaded.Entry is ulong entry ? (BootMode.Long, entry)
        : loaded.PvhEntry is ulong pvhEntry ? (BootMode.Pvh, pvhEntry)
        : throw new BootException($"{kernel.Name} has no {(choice == EntryChoice.Pvh ? "PVH" : "64-bit or PVH")} entry point");

    private static ulong PlaceInitrd(KernelImage kernel, ulong kernelEnd, IByteSource initrd, ulong lowEnd)
    {
        ulong end = Math.Min(lowEnd, (ulong)kernel.InitrdMaxAddress + 1);
        ulong floor = (kernelEnd + PageBytes - 1) & ~(PageBytes - 1);
        if (end < floor || initrd.LengthBytes > end - floor || ((end - initrd.LengthBytes) & ~(PageBytes - 1)) < floor)
        {
            ulong room = end > floor ? end - floor : 0;
            throw new BootException(
                $"{initrd.Name} does not fit: it has 0x{initrd.LengthBytes:x} bytes, and behind the kernel there are 0x{room:x} left below 0x{end:x}; give the guest more memory");
        }

        return (end - initrd.LengthBytes) & ~(PageBytes - 1);
    }

    private static void WriteZeroPage(
        GuestLoader loader, KernelImage kernel, in LoadedKernel loaded, E820Entry[] map, ulong initrdAddress, ulong initrdBytes, ulong rsdp)
    {
        // Zeroed but for the header: what a bzImage has below it is code, and a byte there that is not 0 makes the kernel wipe fields it does not trust.
        byte[] page = new byte[SetupHeader.PageBytes];
        void Put32(int offset, ulong value) => BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(offset), (uint)value);
        if (kernel.Header.IsEmpty)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(page.AsSpan(SetupHeader.BootFlag), SetupHeader.BootFlagValue);
            Put32(SetupHeader.Magic, SetupHeader.MagicValue);
            BinaryPrimitives.WriteUInt16LittleEndian(page.AsSpan(SetupHeader.Version), SetupHeader.OldestVersion);
            Put32(SetupHeader.CommandLineMaxBytes, kernel.CommandLineMaxBytes);
            Put32(SetupHeader.KernelAlignment, 16 << 20);
            page[SetupHeader.LoadFlags] = 1;
        }
        else
        {
            kernel.Header.CopyTo(page.AsSpan(SetupHeader.Start));
        }

        page[SetupHeader.LoaderType] = 0xFF;
        page[SetupHeader.LoadFlags] |= 0x80;
        Put32(SetupHeader.Code32Start, loaded.Start);
        Put32(SetupHeader.InitrdAddress, initrdAddress);
        Put32(SetupHeader.InitrdBytes, initrdBytes);
        Put32(SetupHeader.CommandLine, AddressMap.CommandLine);
        BinaryPrimitives.WriteUInt64LittleEndian(page.AsSpan(SetupHeader.Rsdp), rsdp);
        BinaryPrimitives.WriteUInt64LittleEndian(page.AsSpan(SetupHeader.SetupData), AddressMap.SetupData);
        page[SetupHeader.E820Count] = (byte)map.Length;
        MemoryMarshal.AsBytes(map.AsSpan()).CopyTo(page.AsSpan(SetupHeader.E820Table));
        loader.Write(AddressMap.ZeroPage, page);
        WriteRandomSeed(loader);
    }

    /// <summary>One entry of <c>struct setup_data</c>: u64 next, u32 type, u32 length, bytes. New for each start: a guest that reboots must not see the old one.</summary>
    private static unsafe void WriteRandomSeed(GuestLoader loader)
    {
        Span<byte> entry = stackalloc byte[SetupDataHeaderBytes + RandomSeedBytes];
        entry.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], RandomSeedType);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[12..], RandomSeedBytes);
        fixed (byte* seed = entry[SetupDataHeaderBytes..])
        {
            // Up to 256 bytes come at once and without interruption, once the kernel's generator is ready.
            FileDescriptor.Check((int)GetRandom(seed, RandomSeedBytes, 0), "getrandom");
        }

        loader.Write(AddressMap.SetupData, entry);
        entry.Clear();
    }

    private static void WriteStartInfo(GuestLoader loader, E820Entry[] map, ulong initrdAddress, ulong initrdBytes, ulong rsdp)
    {
        var info = new PvhStartInfo
        {
            Magic = PvhStartInfo.MagicValue,
            Version = 1,
            CommandLine = AddressMap.CommandLine,
            Rsdp = rsdp,
            MemoryMap = AddressMap.ZeroPage,
            MemoryMapCount = (uint)map.Length,
        };
        if (initrdBytes > 0)
        {
            info.ModuleCount = 1;
            info.Modules = AddressMap.PvhModules;
            loader.Write(AddressMap.PvhModules, new PvhModule(initrdAddress, initrdBytes));
        }

        for (int i = 0; i < map.Length; i++)
        {
            var range = new PvhMemoryRange(map[i].Address, map[i].LengthBytes, map[i].Type);
            loader.Write(AddressMap.ZeroPage + (ulong)(i * PvhMemoryRange.SizeBytes), range);
        }

        loader.Write(AddressMap.PvhStartInfo, info);
    }

    /// <summary><c>getrandom(2)</c>: the framework's generator would load OpenSSL for 32 bytes.</summary>
    [LibraryImport("libc", EntryPoint = "getrandom", SetLastError = true)]
    private static unsafe partial nint GetRandom(byte* buffer, nuint lengthBytes, uint flags);
}
