using System.Diagnostics;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Memory;
using Paravane.Peers;

namespace Paravane.Hypervisor.Tests.Boot;

public sealed class BootLoaderTests
{
    private const ulong Rsdp = 0xE0000, Ram = 64 << 20;

    [Theory]
    [InlineData("elf")]
    [InlineData("gzip")]
    [InlineData("lz4")]
    [InlineData("lz4 in blocks")]
    [InlineData("zstd")]
    public void A_kernel_is_unpacked_to_its_addresses_and_entered_where_it_says(string form)
    {
        byte[] elf = TestKernel.Elf();
        using var file = new TestFile(form switch
        {
            "gzip" => TestKernel.BzImage(TestKernel.Gzip(elf)),
            "lz4" => TestKernel.BzImage(TestKernel.Lz4(elf)),
            "lz4 in blocks" => TestKernel.BzImage(TestKernel.Lz4(elf, 1000)),
            "zstd" => TestKernel.BzImage(TestKernel.Zstd(elf)),
            _ => elf,
        });
        using var memory = new BootMemory(Ram);
        using KernelImage kernel = KernelImage.Open(file.Path);
        Dirty(memory);
        BootState state = BootLoader.Load(kernel, null, "quiet", memory.Table, Ram, Rsdp);
        Assert.Equal(new BootState(BootMode.Long, TestKernel.Entry, AddressMap.ZeroPage), state);
        AssertLoaded(memory);

        // A guest that reboots: the same again, over whatever it left.
        byte[] seed = memory.Bytes(AddressMap.SetupData + 16, 32);
        Dirty(memory);
        Assert.Equal(state, BootLoader.Load(kernel, null, "quiet", memory.Table, Ram, Rsdp));
        AssertLoaded(memory);
        Assert.NotEqual(seed, memory.Bytes(AddressMap.SetupData + 16, 32));
    }

    [Fact]
    public void The_zero_page_tells_what_the_boot_protocol_wants()
    {
        using var file = new TestFile(TestKernel.BzImage(TestKernel.Gzip(TestKernel.Elf())));
        byte[] initrdBytes = TestKernel.Pattern(12345, 9);
        using var initrdFile = new TestFile(initrdBytes);
        using var memory = new BootMemory(Ram);
        using KernelImage kernel = KernelImage.Open(file.Path);
        using BootFile initrd = BootFile.Open("initrd", initrdFile.Path);
        _ = BootLoader.Load(kernel, initrd, "console=ttyS0 töst", memory.Table, Ram, Rsdp);

        byte[] page = memory.Bytes(AddressMap.ZeroPage, 4096);
        Assert.Equal(0, page[0x1EF]); // sentinel
        Assert.All(page[..0x70], value => Assert.Equal(0, value));
        Assert.Equal(0x020F, BitConverter.ToUInt16(page, SetupHeader.Version));
        Assert.Equal(0x20_0000u, BitConverter.ToUInt32(page, SetupHeader.KernelAlignment));
        Assert.Equal((0xFF, 0x81), (page[SetupHeader.LoaderType], page[SetupHeader.LoadFlags]));
        Assert.Equal(Rsdp, BitConverter.ToUInt64(page, SetupHeader.Rsdp));
        Assert.Equal((uint)TestKernel.Base, BitConverter.ToUInt32(page, SetupHeader.Code32Start));

        uint line = BitConverter.ToUInt32(page, SetupHeader.CommandLine);
        Assert.Equal("console=ttyS0 töst\0"u8, memory.Bytes(line, 20));

        ulong initrdAt = BitConverter.ToUInt32(page, SetupHeader.InitrdAddress);
        Assert.Equal(Ram - 0x4000, initrdAt);
        Assert.Equal(12345u, BitConverter.ToUInt32(page, SetupHeader.InitrdBytes));
        Assert.Equal(initrdBytes, memory.Bytes(initrdAt, initrdBytes.Length));

        ulong data = BitConverter.ToUInt64(page, SetupHeader.SetupData);
        Assert.Equal((0UL, 9u, 32u), (memory.Word64(data), memory.Word32(data + 8), memory.Word32(data + 12)));
        Assert.Contains(memory.Bytes(data + 16, 32), value => value != 0);
        Assert.Equal(6, page[SetupHeader.E820Count]);
        Assert.Equal((0UL, AddressMap.ConventionalEnd, 1u), EntryAt(page, 0));
        Assert.Equal((AddressMap.HighMemory, Ram - AddressMap.HighMemory, 1u), EntryAt(page, 2));
    }

    [Fact]
    public void Ram_beyond_three_gigabytes_goes_above_four()
    {
        const ulong Five = 5UL << 30;
        E820Entry[] map = BootLoader.MemoryMap(Five);
        Assert.Equal(Five, AddressMap.HighMemory + map.Where(entry => entry.Type == E820Type.Ram).Aggregate(0UL, (sum, entry) => sum + entry.LengthBytes)
            - AddressMap.ConventionalEnd);
        Assert.Equal((AddressMap.FourGiB, Five - AddressMap.LowMemoryEnd), (map[^1].Address, map[^1].LengthBytes));
        Assert.All(map.Zip(map.Skip(1)), pair => Assert.True(pair.First.Address + pair.First.LengthBytes <= pair.Second.Address));

        // The initrd stays below the kernel's limit, though there is RAM above it.
        using var file = new TestFile(TestKernel.BzImage(TestKernel.Gzip(TestKernel.Elf())));
        using var initrdFile = new TestFile([1, 2, 3]);
        using var memory = new BootMemory(Five);
        using KernelImage kernel = KernelImage.Open(file.Path);
        using BootFile initrd = BootFile.Open("initrd", initrdFile.Path);
        _ = BootLoader.Load(kernel, initrd, string.Empty, memory.Table, Five, Rsdp);
        Assert.Equal(0x7FFF_F000u, memory.Word32(AddressMap.ZeroPage + SetupHeader.InitrdAddress));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(8)]
    public void Pvh_is_used_when_asked_for_and_told_by_its_start_info(int noteBytes)
    {
        using var file = new TestFile(TestKernel.BzImage(TestKernel.Gzip(TestKernel.Elf(noteBytes: noteBytes))));
        using var initrdFile = new TestFile([7, 8, 9]);
        using var memory = new BootMemory(Ram);
        using KernelImage kernel = KernelImage.Open(file.Path);
        using BootFile initrd = BootFile.Open("initrd", initrdFile.Path);
        BootState state = BootLoader.Load(kernel, initrd, "pvh", memory.Table, Ram, Rsdp, EntryChoice.Pvh);
        Assert.Equal(new BootState(BootMode.Pvh, TestKernel.PvhEntry, AddressMap.PvhStartInfo), state);

        const ulong Info = AddressMap.PvhStartInfo;
        Assert.Equal((0x336EC578u, 1u, 0u, 1u), (memory.Word32(Info), memory.Word32(Info + 4), memory.Word32(Info + 8), memory.Word32(Info + 12)));
        Assert.Equal("pvh\0"u8, memory.Bytes(memory.Word64(Info + 24), 4));
        Assert.Equal(Rsdp, memory.Word64(Info + 32));
        ulong module = memory.Word64(Info + 16), map = memory.Word64(Info + 40);
        Assert.Equal([7, 8, 9], memory.Bytes(memory.Word64(module), (int)memory.Word64(module + 8)));
        Assert.Equal(6u, memory.Word32(Info + 48));
        Assert.Equal((AddressMap.HighMemory, Ram - AddressMap.HighMemory, 1u), (memory.Word64(map + 48), memory.Word64(map + 56), memory.Word32(map + 64)));
    }

    [Fact]
    public void Pvh_is_used_where_there_is_no_64_bit_entry()
    {
        using var file = new TestFile(TestKernel.Elf(entry: 0));
        using var memory = new BootMemory(Ram);
        using KernelImage kernel = KernelImage.Open(file.Path);
        Assert.Equal(BootMode.Pvh, BootLoader.Load(kernel, null, string.Empty, memory.Table, Ram, Rsdp).Mode);
    }

    [Fact]
    public void Debians_own_kernel_loads_in_each_way()
    {
        string path = GuestKernel.Find().Image;
        const ulong HalfGigabyte = 512 << 20;
        using var memory = new BootMemory(HalfGigabyte);
        using KernelImage kernel = KernelImage.Open(path);
        long start = Stopwatch.GetTimestamp();
        BootState state = BootLoader.Load(kernel, null, KernelCommandLine.Compose(pci: true, "quiet"), memory.Table, HalfGigabyte, Rsdp);
        TestContext.Current.SendDiagnosticMessage($"{path}: loaded in {Stopwatch.GetElapsedTime(start).TotalMilliseconds:f0} ms");
        Assert.Equal(BootMode.Long, state.Mode);
        Assert.Contains(memory.Bytes(state.EntryPoint, 64), value => value != 0);
        BootState pvh = BootLoader.Load(kernel, null, "quiet", memory.Table, HalfGigabyte, Rsdp, EntryChoice.Pvh);
        Assert.Equal(BootMode.Pvh, pvh.Mode);
        Assert.Contains(memory.Bytes(pvh.EntryPoint, 64), value => value != 0);
    }

    [Fact]
    public void The_command_line_has_our_words_first_and_the_users_last()
    {
        Assert.Equal(KernelCommandLine.Default, KernelCommandLine.Compose(pci: true, "  "));
        Assert.Equal(KernelCommandLine.Default + " root=/dev/vda", KernelCommandLine.Compose(pci: true, " root=/dev/vda "));
        Assert.Equal(KernelCommandLine.Default + " pci=off x", KernelCommandLine.Compose(pci: false, "x"));
    }

    private static (ulong Address, ulong LengthBytes, uint Type) EntryAt(byte[] page, int index)
    {
        int at = SetupHeader.E820Table + (20 * index);
        return (BitConverter.ToUInt64(page, at), BitConverter.ToUInt64(page, at + 8), BitConverter.ToUInt32(page, at + 16));
    }

    private static void Dirty(BootMemory memory)
    {
        byte[] junk = new byte[TestKernel.DataMemoryBytes];
        Array.Fill(junk, (byte)0xAA);
        foreach (ulong address in new[] { TestKernel.Base, TestKernel.SecondBase, AddressMap.ZeroPage, AddressMap.SetupData })
        {
            Assert.True(memory.Table.TryWrite(new(address), junk));
        }
    }

    private static void AssertLoaded(BootMemory memory)
    {
        Assert.Equal(TestKernel.Text, memory.Bytes(TestKernel.Base, TestKernel.TextBytes));
        Assert.Equal(TestKernel.Data, memory.Bytes(TestKernel.SecondBase, TestKernel.DataBytes));
        Assert.All(memory.Bytes(TestKernel.SecondBase + TestKernel.DataBytes, TestKernel.DataMemoryBytes - TestKernel.DataBytes), value => Assert.Equal(0, value));
        Assert.Equal(0, memory.Bytes(AddressMap.ZeroPage, 4096)[0x1EF]);
    }
}
