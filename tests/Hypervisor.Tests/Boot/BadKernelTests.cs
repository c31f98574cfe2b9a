using System.Buffers.Binary;
using System.Diagnostics;
using Paravane.Hypervisor.Boot;

namespace Paravane.Hypervisor.Tests.Boot;

public sealed class BadKernelTests
{
    private const ulong Rsdp = 0xE0000, Ram = 64 << 20;

    [Fact]
    public void A_file_that_is_none_is_refused_by_name()
    {
        Assert.Equal("kernel '/no/such/kernel' does not exist", Failure("/no/such/kernel"));
        Assert.Equal("kernel '/tmp' is a directory", Failure("/tmp"));
        Assert.Equal("kernel '/dev/null' is not a regular file", Failure("/dev/null"));
        using var empty = new TestFile([]);
        Assert.Equal($"kernel '{empty.Path}' is empty", Failure(empty.Path));
        Assert.Equal("initrd '/no/initrd' does not exist", Assert.Throws<BootException>(() => BootFile.Open("initrd", "/no/initrd")).Message);
    }

    [Fact]
    public void What_is_no_kernel_is_told_by_its_first_bytes()
    {
        using var text = new TestFile([.. "#!/bin/sh\n"u8]);
        Assert.EndsWith("is no kernel: first bytes 23212F62; an x86-64 bzImage or ELF file is needed", Failure(text.Path), StringComparison.Ordinal);
        using var one = new TestFile([0x7F]);
        Assert.Contains("first bytes 7F;", Failure(one.Path), StringComparison.Ordinal);
        byte[] arm = new byte[4096];
        "ARM\x64"u8.CopyTo(arm.AsSpan(0x38));
        using var arm64 = new TestFile(arm);
        Assert.Contains("(an arm64 Linux image)", Failure(arm64.Path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(183, 2, "64-bit aarch64")]
    [InlineData(243, 2, "64-bit riscv")]
    [InlineData(3, 1, "32-bit i386")]
    [InlineData(9999, 2, "64-bit machine 9999")]
    public void An_elf_file_for_another_architecture_is_refused_by_its_name(int machine, byte elfClass, string name)
    {
        using var file = new TestFile(TestKernel.Elf((ushort)machine, elfClass));
        Assert.EndsWith($"is for another architecture: {name}; x86-64 is needed", Failure(file.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_bzImage_of_32_bits_or_of_an_old_protocol_is_refused()
    {
        byte[] payload = TestKernel.Gzip(TestKernel.Elf());
        using var small = new TestFile(TestKernel.BzImage(payload, file => file[SetupHeader.ExtendedLoadFlags] = 0));
        Assert.EndsWith("is for another architecture: a 32-bit x86 kernel; x86-64 is needed", Failure(small.Path), StringComparison.Ordinal);
        using var old = new TestFile(TestKernel.BzImage(payload, file => file[SetupHeader.Version] = 0x09));
        Assert.EndsWith("is too old: boot protocol 2.09; 2.12 or later is needed", Failure(old.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_compression_that_is_not_known_is_named_by_its_magic()
    {
        byte[] payload = TestKernel.Gzip(TestKernel.Elf());
        "BZh91AY"u8.CopyTo(payload);
        using var file = new TestFile(TestKernel.BzImage(payload));
        Assert.EndsWith(
            "the kernel inside is compressed in an unknown way (first bytes 425A68393141); gzip, LZ4, zstd and xz are known", Failure(file.Path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("LZ4")]
    [InlineData("zstd")]
    public void A_damaged_payload_is_an_error_that_names_the_format(string format)
    {
        byte[] elf = TestKernel.Elf();
        byte[] payload = format switch
        {
            "gzip" => TestKernel.Gzip(elf),
            "LZ4" => TestKernel.Lz4(elf),
            _ => TestKernel.Zstd(elf),
        };
        payload.AsSpan(payload.Length / 2, 64).Fill(0xFF);
        using var file = new TestFile(TestKernel.BzImage(payload));
        Assert.Contains($"the {format}-compressed kernel inside is damaged", Failure(file.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_size_that_is_not_sensible_is_refused_before_memory_is_taken_for_it()
    {
        byte[] payload = TestKernel.Lz4(TestKernel.Elf());
        BinaryPrimitives.WriteUInt32LittleEndian(payload.AsSpan(payload.Length - 4), uint.MaxValue);
        using var file = new TestFile(TestKernel.BzImage(payload));
        Assert.Contains("claims 0xffffffff bytes", Failure(file.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_is_told_with_numbers()
    {
        using var file = new TestFile(TestKernel.BzImage(TestKernel.Gzip(TestKernel.Elf())));
        Assert.Contains("larger than the guest's memory: it needs the addresses up to 0x1400000, and RAM ends at 0x1000000", Failure(file.Path, ramBytes: 16 << 20), StringComparison.Ordinal);

        using var initrd = new TestFile(new byte[4 << 20]);
        Assert.Contains("does not fit: it has 0x400000 bytes, and behind the kernel there are 0x200000 left below 0x1600000", Failure(file.Path, initrd.Path, 22 << 20), StringComparison.Ordinal);

        Assert.EndsWith("takes at most 2047", Failure(file.Path, commandLine: new string('x', 2048)), StringComparison.Ordinal);
        Assert.Null(TryLoad(file.Path, commandLine: new string('x', 2047)));
        Assert.Contains("zero character", Failure(file.Path, commandLine: "a\0b"), StringComparison.Ordinal);

        using var low = new TestFile(Patched(TestKernel.Elf(), ElfHeader.SizeBytes + 24, 0x7000));
        Assert.Contains("wants to be loaded at 0x7000, below 0x100000", Failure(low.Path), StringComparison.Ordinal);
        using var nowhere = new TestFile(TestKernel.Elf(entry: 0x10, pvh: false));
        Assert.EndsWith("has no 64-bit or PVH entry point", Failure(nowhere.Path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("kernel")]
    [InlineData("initrd")]
    [InlineData("command line")]
    [InlineData("low")]
    [InlineData("entry")]
    public void What_sizes_and_headers_tell_is_said_before_anything_is_started_in_the_same_words(string what)
    {
        foreach (bool compressed in (bool[])[false, true])
        {
            byte[] elf = what == "low" ? Patched(TestKernel.Elf(), ElfHeader.SizeBytes + 24, 0x7000) : TestKernel.Elf(entry: what == "entry" ? 0x10 : TestKernel.Entry, pvh: what != "entry");
            using var file = new TestFile(compressed ? TestKernel.BzImage(TestKernel.Lz4(elf)) : elf);
            using var initrd = new TestFile(new byte[4 << 20]);
            ulong ram = what == "kernel" ? 16UL << 20 : 22UL << 20;
            string? initrdPath = what == "initrd" ? initrd.Path : null;
            string line = what == "command line" ? new string('x', 2048) : "quiet";
            string? early = TryCheck(file.Path, initrdPath, ram, line);
            bool isHidden = compressed && what is "low" or "entry"; // only the unpacked kernel tells
            Assert.Equal(isHidden ? null : TryLoad(file.Path, initrdPath, ram, line), early);
            Assert.NotNull(TryLoad(file.Path, initrdPath, ram, line));
        }
    }

    [Fact]
    public void A_missing_PVH_entry_is_told_before_anything_is_started()
    {
        using var file = new TestFile(TestKernel.Elf(pvh: false));
        Assert.EndsWith("has no PVH entry point", TryCheck(file.Path, choice: EntryChoice.Pvh), StringComparison.Ordinal);
        Assert.Null(TryCheck(file.Path));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_kernel_cut_off_anywhere_is_a_clean_error(bool compressed)
    {
        byte[] whole = compressed ? TestKernel.BzImage(TestKernel.Lz4(TestKernel.Elf())) : TestKernel.Elf();
        for (int length = 0; length < whole.Length; length += length < 5000 ? 61 : 509)
        {
            using var file = new TestFile(whole[..length]);
            Assert.NotNull(TryLoad(file.Path));
        }
    }

    [Theory]
    [InlineData("elf")]
    [InlineData("gzip")]
    [InlineData("lz4")]
    [InlineData("zstd")]
    public void A_kernel_changed_anywhere_loads_or_is_a_clean_error(string form)
    {
        byte[] elf = TestKernel.Elf();
        byte[] whole = form switch
        {
            "gzip" => TestKernel.BzImage(TestKernel.Gzip(elf)),
            "lz4" => TestKernel.BzImage(TestKernel.Lz4(elf)),
            "zstd" => TestKernel.BzImage(TestKernel.Zstd(elf)),
            _ => elf,
        };
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < 400 && Stopwatch.GetElapsedTime(start).TotalSeconds < 10; round++)
        {
            byte[] bytes = [.. whole];
            for (int change = random.Next(1, 6); change > 0; change--)
            {
                // Mostly headers, where numbers are.
                int at = random.Next(4) == 0 ? random.Next(bytes.Length - 8) : random.Next(form == "elf" ? 0 : SetupHeader.Start, form == "elf" ? 0x320 : 0x270);
                switch (random.Next(4))
                {
                    case 0:
                        bytes[at] = (byte)random.Next(256);
                        break;
                    case 1:
                        bytes[at] ^= (byte)(1 << random.Next(8));
                        break;
                    case 2:
                        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), random.Next(2) == 0 ? uint.MaxValue : (uint)random.Next());
                        break;
                    default:
                        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at), ulong.MaxValue - (ulong)random.Next(0x2000));
                        break;
                }
            }

            using var file = new TestFile(bytes);
            try
            {
                _ = TryLoad(file.Path);
            }
            catch (Exception unexpected)
            {
                Assert.Fail($"seed {seed}, round {round}: {unexpected}");
            }
        }
    }

    private static byte[] Patched(byte[] bytes, int offset, ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(offset), value);
        return bytes;
    }

    private static string Failure(string kernelPath, string? initrdPath = null, ulong ramBytes = Ram, string commandLine = "")
    {
        string? message = TryLoad(kernelPath, initrdPath, ramBytes, commandLine);
        Assert.NotNull(message);
        Assert.DoesNotContain('\n', message);
        return message;
    }

    /// <returns>The message of a clean error, or null when it loads. Other exceptions come through.</returns>
    private static string? TryLoad(string kernelPath, string? initrdPath = null, ulong ramBytes = Ram, string commandLine = "")
    {
        string? late = Refusal(kernelPath, initrdPath, (kernel, initrd) =>
        {
            using var memory = new BootMemory(ramBytes);
            _ = BootLoader.Load(kernel, initrd, commandLine, memory.Table, ramBytes, Rsdp);
        });
        Assert.False(late is null && TryCheck(kernelPath, initrdPath, ramBytes, commandLine) is not null, "what loads is not refused before");
        return late;
    }

    /// <returns>What is said before anything is started, or null.</returns>
    private static string? TryCheck(string kernelPath, string? initrdPath = null, ulong ramBytes = Ram, string commandLine = "", EntryChoice choice = EntryChoice.Automatic) =>
        Refusal(kernelPath, initrdPath, (kernel, initrd) => BootLoader.Check(kernel, initrd, commandLine, ramBytes, choice));

    private static string? Refusal(string kernelPath, string? initrdPath, Action<KernelImage, BootFile?> step)
    {
        try
        {
            using KernelImage kernel = KernelImage.Open(kernelPath);
            using BootFile? initrd = initrdPath is null ? null : BootFile.Open("initrd", initrdPath);
            step(kernel, initrd);
            return null;
        }
        catch (BootException failure)
        {
            return failure.Message;
        }
    }
}
